using Overlay.Testing;

namespace Overlay.Wire.Tests;

/// <summary>No bytes make a parser or an accessor throw, or allocate.</summary>
public sealed class AnyBytesTests
{
    [Fact]
    public void TryParse_RandomBytes_NeverThrows() => Seeded.Check(2_000, random =>
    {
        Span<byte> bytes = stackalloc byte[160];
        for (int i = 0; i < 500; i++)
        {
            Span<byte> part = bytes[..random.Next(bytes.Length + 1)];
            random.NextBytes(part);
            if (part.Length > 0 && random.Next(2) == 0) part[0] = (byte)((random.Next(2) == 0 ? 0x40 : 0x60) | (part[0] & 0x0f));
            EveryView.Read(part);
        }
    });

    [Fact]
    public void TryParse_MutatedFrames_NeverThrows() => Seeded.Check(20_000, random =>
    {
        Span<byte> original = stackalloc byte[RandomFrames.MaxLength];
        Span<byte> frame = stackalloc byte[RandomFrames.MaxLength];
        int length = RandomFrames.Write(random, original);
        for (int i = 0; i < 50; i++)
        {
            original.CopyTo(frame);
            for (int flips = random.Next(4); flips > 0; flips--) frame[random.Next(Math.Min(length, 120))] = (byte)random.Next(256);
            int kept = random.Next(3) == 0 ? random.Next(length + 1) : length;
            EveryView.ReadLayers(frame[..kept]);
            EveryView.Read(frame[Math.Min(14, kept)..kept]);
        }
    });

    [Fact]
    public void TryParse_EveryPrefixOfAFrame_NeverThrows() => Seeded.Check(3_000, random =>
    {
        Span<byte> frame = stackalloc byte[RandomFrames.MaxLength];
        int length = RandomFrames.Write(random, frame);
        for (int kept = 0; kept <= length; kept++) EveryView.ReadLayers(frame[..kept]);
    });

    [Fact]
    public void TryParse_FramesAndNoise_AllocatesNothing()
    {
        var random = new Random(7);
        byte[][] inputs = [.. Enumerable.Range(0, 200).Select(i => i % 2 == 0 ? Frame(random) : Noise(random))];
        ulong read = ReadAll(inputs);

        long before = GC.GetAllocatedBytesForCurrentThread();
        read += ReadAll(inputs);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal(0, allocated);
        Assert.NotEqual(0ul, read);
    }

    [Fact]
    public void Checksum_AnyLength_AllocatesNothing()
    {
        byte[] data = new byte[4096];
        ulong sum = SumAll(data);

        long before = GC.GetAllocatedBytesForCurrentThread();
        sum += SumAll(data);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal(0, allocated);
        Assert.NotEqual(0ul, sum);
    }

    [Fact]
    public void Write_EveryHeader_AllocatesNothing()
    {
        byte[] frame = new byte[256];
        WriteAll(frame);

        long before = GC.GetAllocatedBytesForCurrentThread();
        WriteAll(frame);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal(0, allocated);
    }

    private static ulong ReadAll(byte[][] inputs)
    {
        ulong read = 0;
        foreach (byte[] input in inputs) read += EveryView.Read(input) + EveryView.ReadLayers(input);
        return read;
    }

    private static ulong SumAll(byte[] data)
    {
        ulong sum = 0;
        for (int length = 0; length < data.Length; length++)
        {
            sum = InternetChecksum.Add(data.AsSpan(0, length), sum + InternetChecksum.PseudoHeaderV6(1, 2, IpProtocols.Tcp, length));
            sum += InternetChecksum.Update(InternetChecksum.Finish(sum), 1, 2);
        }
        return sum;
    }

    private static void WriteAll(byte[] frame)
    {
        EthernetFrame.WriteHeader(frame, MacAddress.Broadcast, default, EtherTypes.Ipv4);
        ArpPacket.Write(frame, ArpOperation.Reply, default, 1, default, 2);
        Ipv4Packet.WriteHeader(frame, new Ipv4Fields { TotalLength = 40, TimeToLive = 1, Protocol = 6, Source = 1, Destination = 2 });
        Ipv6Packet.WriteHeader(frame, new Ipv6Fields { PayloadLength = 40, HopLimit = 1, NextHeader = 6, Source = 1, Destination = 2 });
        UdpHeader.Write(frame, 1, 2, 8);
        TcpHeader.Write(frame, new TcpFields { SourcePort = 1, DestinationPort = 2 });
        Icmpv4Header.Write(frame, Icmpv4Types.EchoRequest, 0, 1);
        NeighborMessage.WriteSolicitation(frame, 1, 2, 3, MacAddress.Broadcast);
        NeighborMessage.WriteAdvertisement(frame, 1, 2, 3, NeighborFlags.Solicited, MacAddress.Broadcast);
        VxlanHeader.Write(frame, 1);
    }

    private static byte[] Frame(Random random)
    {
        byte[] frame = new byte[RandomFrames.MaxLength];
        return frame[..RandomFrames.Write(random, frame)];
    }

    private static byte[] Noise(Random random)
    {
        byte[] noise = new byte[random.Next(120)];
        random.NextBytes(noise);
        return noise;
    }
}
