using Overlay.Testing;

namespace Overlay.Wire.Tests;

/// <summary>Parsers, accessors, writers and checksums allocate nothing, whatever they are given.</summary>
[Collection(nameof(RunAlone))]
public sealed class AllocationTests
{
    [Fact]
    public void TryParse_FramesAndNoise_AllocatesNothing()
    {
        var random = new Random(7);
        byte[][] inputs = [.. Enumerable.Range(0, 200).Select(i => i % 2 == 0 ? Frame(random) : Noise(random))];
        ulong read = ReadAll(inputs);
        Assert.Equal(0, AllocationMeter.Measure(() => read += ReadAll(inputs)));
        Assert.NotEqual(0ul, read);
    }

    [Fact]
    public void Checksum_AnyLength_AllocatesNothing()
    {
        byte[] data = new byte[4096];
        ulong sum = SumAll(data);
        Assert.Equal(0, AllocationMeter.Measure(() => sum += SumAll(data)));
        Assert.NotEqual(0ul, sum);
    }

    [Fact]
    public void Write_EveryHeader_AllocatesNothing()
    {
        byte[] frame = new byte[256];
        WriteAll(frame);
        Assert.Equal(0, AllocationMeter.Measure(() => WriteAll(frame)));
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
        GeneveHeader.Write(frame, 1, EtherTypes.TransparentEthernet);
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
