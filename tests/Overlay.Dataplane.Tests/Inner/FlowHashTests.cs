using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Inner;

public sealed class FlowHashTests
{
    private const int Ports = 256;
    private const int Flows = 256 * 400;

    // Chi-square with 255 degrees of freedom exceeds 400 by chance once in 10^7 tests; the flows below are fixed, so it never varies.
    private const double MaxChiSquare = 400;

    [Fact]
    public void OfV4_ConsecutiveSourcePorts_SpreadEvenly() =>
        AssertEven(i => FlowHash.OfV4(0x0af40105, 0x0af40209 + (uint)(i >> 15), (uint)(32_768 + (i & 0x7fff)) << 16 | 443, IpProtocols.Tcp));

    [Fact]
    public void OfV4_ConsecutiveAddressesWithoutPorts_SpreadEvenly() =>
        AssertEven(i => FlowHash.OfV4(0x0a000000 + (uint)(i >> 8), 0x0af40200 + (uint)(i & 0xff), 0, IpProtocols.Icmpv4));

    [Fact]
    public void OfV6_ConsecutiveAddressesAndPorts_SpreadEvenly() =>
        AssertEven(i => FlowHash.OfV6(new UInt128(0xfd00, (ulong)(i >> 8)), new UInt128(0xfd01, 9), (uint)(i & 0xff) << 16, IpProtocols.Udp));

    [Fact]
    public void OfV4_OneInputBitFlipped_FlipsAboutHalfTheOutput()
    {
        for (int bit = 0; bit < 104; bit++)
        {
            int flipped = 0;
            for (uint i = 0; i < 256; i++) flipped += System.Numerics.BitOperations.PopCount(Hash(i, -1) ^ Hash(i, bit));
            Assert.InRange(flipped / 256.0, 14, 18);
        }

        static uint Hash(uint round, int bit)
        {
            uint Flip(uint value, int word) => bit >= 0 && bit / 32 == word ? value ^ (1u << (bit % 32)) : value;
            return FlowHash.OfV4(Flip(round * 77, 0), Flip(0x0af40000 + round, 1), Flip(round << 16 | 80, 2), (byte)Flip(6, 3));
        }
    }

    [Fact]
    public void Index_WholeRange_StaysBelowCount()
    {
        Assert.Equal(0, FlowHash.Index(0, 7));
        Assert.Equal(6, FlowHash.Index(uint.MaxValue, 7));
        Assert.Equal(0, FlowHash.Index(uint.MaxValue, 1));
    }

    private static void AssertEven(Func<int, uint> hash)
    {
        int[] counts = new int[Ports];
        for (int i = 0; i < Flows; i++) counts[FlowHash.Index(hash(i), Ports)]++;
        double expected = (double)Flows / Ports;
        Assert.InRange(counts.Sum(count => (count - expected) * (count - expected) / expected), 0, MaxChiSquare);
    }
}
