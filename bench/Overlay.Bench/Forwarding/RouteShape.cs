using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Bench.Forwarding;

/// <summary>
/// Made-up prefixes in about the lengths of the Internet's tables, as public route collectors report them: IPv4 spread evenly over the unicast
/// space, IPv6 crowded into allocated blocks, the longer ones often inside shorter ones.
/// </summary>
internal static class RouteShape
{
    public const int CountV4 = 1_000_000;

    public const int CountV6 = 200_000;

    private static readonly (int Length, int Percent)[] V4Lengths = [(24, 60), (23, 10), (22, 12), (21, 5), (20, 5), (19, 3), (18, 2), (17, 1), (16, 2)];

    private static readonly (int Length, int Percent)[] V6Lengths = [(48, 46), (44, 10), (40, 12), (36, 5), (32, 13), (29, 4), (46, 5), (47, 2), (45, 3)];

    public static RoutePrefix[] V4(int count, Random random) => Make(count, random, V4Lengths, () =>
    {
        // Unicast blocks.
        uint first = (uint)random.Next(1, 224);
        return IpBits.Mapped(first << 24 | (uint)random.Next(1 << 24));
    }, 32);

    public static RoutePrefix[] V6(int count, Random random)
    {
        ulong[] blocks = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];
        return Make(count, random, V6Lengths, () =>
        {
            // A few thousand allocations of /32 within the registries' blocks.
            ulong block = blocks[random.Next(blocks.Length)] << 48 | (ulong)random.Next(16) << 48;
            ulong allocation = (ulong)(random.Next(1 << 10) << 6) << 32;
            return new UInt128(block | allocation | (ulong)random.Next(1 << 16) << 16, 0);
        }, 128);
    }

    /// <summary>Random destinations below the prefixes.</summary>
    public static UInt128[] Destinations(RoutePrefix[] prefixes, int count, int bits, Random random)
    {
        var destinations = new UInt128[count];
        for (int i = 0; i < count; i++)
        {
            RoutePrefix prefix = prefixes[random.Next(prefixes.Length)];
            UInt128 noise = new((ulong)random.NextInt64(), (ulong)random.NextInt64());
            destinations[i] = prefix.Address | noise & ((UInt128.One << (bits - prefix.Length)) - 1);
        }
        return destinations;
    }

    private static RoutePrefix[] Make(int count, Random random, (int Length, int Percent)[] lengths, Func<UInt128> address, int bits)
    {
        var prefixes = new Dictionary<(UInt128, int), RoutePrefix>(count);
        while (prefixes.Count < count)
        {
            int draw = random.Next(100);
            int index = 0;
            while (index < lengths.Length - 1 && draw >= lengths[index].Percent) draw -= lengths[index++].Percent;
            int host = bits - lengths[index].Length;
            UInt128 network = address() >> host << host;
            prefixes.TryAdd((network, lengths[index].Length), new RoutePrefix(network, lengths[index].Length, prefixes.Count & 1023));
        }
        return [.. prefixes.Values];
    }
}
