using System.Runtime.CompilerServices;

namespace Overlay.Dataplane.Inner;

/// <summary>
/// Hash of a flow's addresses, protocol and ports, for choosing one of several equal ways (RFC 7348, 5: outer source port; RFC 6438: flow
/// label). Stable between processes, every input bit reaches every output bit; not symmetric in direction, and no defence against chosen input.
/// </summary>
public static class FlowHash
{
    // Odd 64-bit constants with no arithmetic structure: the fractional parts of the square roots of 2, 3 and 5.
    private const ulong Key0 = 0x6a09e667f3bcc909;
    private const ulong Key1 = 0xbb67ae8584caa73b;
    private const ulong Key2 = 0x3c6ef372fe94f82b;

    /// <param name="source">IPv4 source, host order.</param>
    /// <param name="destination">IPv4 destination, host order.</param>
    /// <param name="ports">Source port in the upper, destination port in the lower half; 0 where there is none.</param>
    /// <param name="protocol">IP protocol number.</param>
    public static uint OfV4(uint source, uint destination, uint ports, byte protocol) =>
        Finish(Mix(((ulong)source << 32 | destination) ^ Key0, ((ulong)protocol << 32 | ports) ^ Key1));

    /// <inheritdoc cref="OfV4"/>
    public static uint OfV6(UInt128 source, UInt128 destination, uint ports, byte protocol)
    {
        ulong sources = Mix((ulong)(source >> 64) ^ Key0, (ulong)source ^ Key1);
        ulong destinations = Mix((ulong)(destination >> 64) ^ Key1, (ulong)destination ^ Key2);
        return Finish(Mix(sources ^ ((ulong)protocol << 32 | ports), destinations ^ Key2));
    }

    /// <summary>Of a frame that is not IP.</summary>
    /// <param name="destination">MAC address.</param>
    /// <param name="source">MAC address.</param>
    public static uint OfEthernet(ulong destination, ulong source) => Finish(Mix(destination ^ Key0, source ^ Key1));

    /// <summary>Maps a hash to 0…<paramref name="count"/>−1 in equal shares.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Index(uint hash, int count) => (int)((ulong)hash * (uint)count >> 32);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Mix(ulong left, ulong right)
    {
        ulong high = Math.BigMul(left, right, out ulong low);
        return high ^ low;
    }

    private static uint Finish(ulong mixed) => (uint)(Mix(mixed ^ Key2, Key0) >> 32);
}
