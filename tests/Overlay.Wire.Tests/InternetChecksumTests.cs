using System.Buffers.Binary;
using Overlay.Testing;

namespace Overlay.Wire.Tests;

public sealed class InternetChecksumTests
{
    /// <summary>RFC 1071, 3: the one's-complement sum of these octets is ddf2.</summary>
    [Fact]
    public void Fold_ExampleOfRfc1071_IsItsSum()
    {
        ulong sum = InternetChecksum.Add([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);

        Assert.Equal([0xdd, 0xf2], Stored(InternetChecksum.Fold(sum)));
        Assert.Equal([0x22, 0x0d], Stored(InternetChecksum.Finish(sum)));
    }

    /// <summary>RFC 1624, 4: where equation 2 gives ffff, equation 3 gives 0000.</summary>
    [Fact]
    public void Update_ExampleOfRfc1624_IsZero()
    {
        ushort updated = InternetChecksum.Update(Native(0xdd2f), Native(0x5555), Native(0x3285));

        Assert.Equal(0, updated);
    }

    [Fact]
    public void PseudoHeaderV4_DatagramSummedByHand_ProvesItValid()
    {
        // 10.0.0.1:1 -> 10.0.0.2:2, "hi", summed by hand: 0a00+0001+0a00+0002+0011+000a + 0001+0002+000a+6869 = 7c94
        ReadOnlySpan<byte> datagram = [0, 1, 0, 2, 0, 10, 0x83, 0x6b, 0x68, 0x69];

        ulong sum = InternetChecksum.PseudoHeaderV4(0x0a000001, 0x0a000002, IpProtocols.Udp, datagram.Length);

        Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(datagram, sum)));
    }

    [Fact]
    public void Add_EveryLengthAtEveryAlignment_EqualsReference()
    {
        byte[] data = new byte[64 + 700];
        new Random(1).NextBytes(data);
        for (int start = 0; start < 64; start++)
        {
            for (int length = 0; length <= 700; length++)
            {
                ReadOnlySpan<byte> part = data.AsSpan(start, length);
                if (Reference(part) != HostOrder(InternetChecksum.Fold(InternetChecksum.Add(part))))
                    Assert.Fail($"{length} bytes at {start}: expected {Reference(part):x4}");
            }
        }
    }

    [Theory]
    [InlineData(64)]
    [InlineData(128)]
    [InlineData(192)]
    [InlineData(1408)]
    [InlineData(65_536)]
    public void AddBlocks_EitherVectorWidth_EqualsReference(int length)
    {
        byte[] data = new byte[length];
        new Random(length).NextBytes(data);

        Assert.Equal(Reference(data), HostOrder(InternetChecksum.Fold(InternetChecksum.AddBlocks512(ref data[0], (nuint)length))));
        Assert.Equal(Reference(data), HostOrder(InternetChecksum.Fold(InternetChecksum.AddBlocks256(ref data[0], (nuint)length))));
        Assert.Equal(
            Reference(data.AsSpan(0, length - 32)),
            HostOrder(InternetChecksum.Fold(InternetChecksum.AddBlocks256(ref data[0], (nuint)length - 32))));
    }

    [Theory]
    [InlineData(0x00)]
    [InlineData(0x80)]
    [InlineData(0xff)]
    public void Add_LongRunsOfOneByte_EqualReference(byte value)
    {
        byte[] data = new byte[1 << 20];
        Array.Fill(data, value);

        Assert.Equal(Reference(data), HostOrder(InternetChecksum.Fold(InternetChecksum.Add(data))));
    }

    [Fact]
    public void Add_SumThatOverflows_WrapsAround()
    {
        ulong sum = InternetChecksum.Add([1, 0], ulong.MaxValue);

        Assert.Equal([1, 0], Stored(InternetChecksum.Fold(sum)));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0xffff, 0xffff)]
    [InlineData(0x10000, 1)]
    [InlineData(0x1_ffff_ffff, 1)]
    [InlineData(0xffff_ffff_ffff_fffe, 0xfffe)]
    [InlineData(ulong.MaxValue, 0xffff)]
    public void Fold_Extremes_AreCongruent(ulong sum, ushort expected) => Assert.Equal(expected, InternetChecksum.Fold(sum));

    [Fact]
    public void Add_InPartsOfEvenLength_EqualsAddAtOnce() => Seeded.Check(20_000, random =>
    {
        byte[] data = new byte[random.Next(1, 2000)];
        random.NextBytes(data);
        int split = random.Next(data.Length + 1) & ~1;

        ulong parts = InternetChecksum.Add(data.AsSpan(split), InternetChecksum.Add(data.AsSpan(0, split)));
        ulong combined = InternetChecksum.Combine(InternetChecksum.Add(data.AsSpan(0, split)), InternetChecksum.Add(data.AsSpan(split)));

        ushort whole = InternetChecksum.Fold(InternetChecksum.Add(data));
        Assert.Equal(whole, InternetChecksum.Fold(parts));
        Assert.Equal(whole, InternetChecksum.Fold(combined));
    });

    [Fact]
    public void Update_AnyWordOfAMessage_EqualsFullChecksum() => Seeded.Check(100_000, random =>
    {
        byte[] data = new byte[random.Next(2, 60) * 2];
        random.NextBytes(data);
        data[0] = 0x45; // not all zero after the change: there the two zeros of one's complement differ
        ushort before = InternetChecksum.Finish(InternetChecksum.Add(data));
        Span<byte> word = data.AsSpan(random.Next(1, data.Length / 2) * 2, 2);
        ushort oldWord = InternetChecksum.Read(word), newWord = (ushort)random.Next(0x10000);

        InternetChecksum.Store(word, newWord);

        ushort expected = InternetChecksum.Finish(InternetChecksum.Add(data));
        Assert.Equal(expected, InternetChecksum.Update(before, oldWord, newWord));
    });

    [Fact]
    public void PseudoHeaders_FromBytesAndFromNumbers_AreEqual() => Seeded.Check(20_000, random =>
    {
        byte[] addresses = new byte[32];
        random.NextBytes(addresses);
        byte protocol = (byte)random.Next(256);
        int length = random.Next(0x10000);
        UInt128 source = BinaryPrimitives.ReadUInt128BigEndian(addresses);
        UInt128 destination = BinaryPrimitives.ReadUInt128BigEndian(addresses.AsSpan(16));
        byte[] pseudoV4 = [.. addresses[..8], 0, protocol, (byte)(length >> 8), (byte)length];
        byte[] pseudoV6 = [.. addresses, 0, 0, (byte)(length >> 8), (byte)length, 0, 0, 0, protocol];

        ulong v4 = InternetChecksum.PseudoHeaderV4((uint)(source >> 96), (uint)(source >> 64), protocol, length);
        ulong v6 = InternetChecksum.PseudoHeaderV6(source, destination, protocol, length);

        Assert.Equal(Reference(pseudoV4), HostOrder(InternetChecksum.Fold(v4)));
        Assert.Equal(InternetChecksum.Fold(v4), InternetChecksum.Fold(InternetChecksum.PseudoHeaderV4(addresses, protocol, length)));
        Assert.Equal(Reference(pseudoV6), HostOrder(InternetChecksum.Fold(v6)));
        Assert.Equal(InternetChecksum.Fold(v6), InternetChecksum.Fold(InternetChecksum.PseudoHeaderV6(addresses, protocol, length)));
    });

    [Fact]
    public void FinishUdp_SumWhoseChecksumIsZero_IsAllOnes()
    {
        Assert.Equal(0, InternetChecksum.Finish(0xffff));
        Assert.Equal(0xffff, InternetChecksum.FinishUdp(0xffff));
        Assert.Equal(InternetChecksum.Finish(0x1234), InternetChecksum.FinishUdp(0x1234));
    }

    /// <summary>The definition: 16-bit big-endian words, carries added back, an odd octet padded with zero (RFC 1071, 1).</summary>
    private static ushort Reference(ReadOnlySpan<byte> data)
    {
        uint sum = 0;
        for (int i = 0; i < data.Length; i += 2)
        {
            sum += (uint)(data[i] << 8) + (i + 1 < data.Length ? data[i + 1] : 0u);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        return (ushort)sum;
    }

    private static ushort HostOrder(ushort native) => BinaryPrimitives.ReadUInt16BigEndian(Stored(native));

    private static ushort Native(ushort hostOrder) =>
        BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(hostOrder) : hostOrder;

    private static byte[] Stored(ushort checksum)
    {
        byte[] field = new byte[2];
        InternetChecksum.Store(field, checksum);
        return field;
    }
}
