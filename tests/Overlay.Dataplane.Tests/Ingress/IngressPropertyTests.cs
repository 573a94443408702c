using System.Buffers.Binary;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>Properties on random input; each case is a seed of its own, so that a failure names it.</summary>
public sealed class IngressPropertyTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 60)];

    /// <summary>
    /// Whatever is coalesced, segmenting it gives each flow's packets as they were sent, in their order of arrival. (One corrupt packet in
    /// 65,536 has the pseudo-header sum for its checksum and counts as unfinished; none of these seeds makes one.)
    /// </summary>
    [Theory]
    [MemberData(nameof(Seeds))]
    public void Process_InterleavedFlowsReorderedLostRepeatedCorrupted_SegmentsBackToEachFlow(int seed)
    {
        var random = new Random(seed);
        List<byte[]> arrivals = RandomPackets.Arrivals(random);
        var node = new IngressNode();
        RandomPackets.DeliverInTrains(node, arrivals, random);
        node.Run();

        List<byte[]> delivered = [.. node.Device.Written.SelectMany(PlainSegmenter.Segment)];
        SortedDictionary<string, List<string>> expected = ByFlow(arrivals), actual = ByFlow(delivered);
        Assert.Equal(expected.Keys, actual.Keys);
        foreach ((string flow, List<string> packets) in expected) Assert.Equal(packets, actual[flow]);
        Assert.Equal(arrivals.Count, node.Counters.IngressIn.Packets);
        Assert.Equal(arrivals.Count, node.Counters.IngressOut.Packets);
        Assert.Equal(node.Counters.IngressIn.Packets, node.Peers[0].Traffic.Ingress(0).Packets);
        Assert.Equal(arrivals.Sum(frame => (long)frame.Length), node.Counters.IngressOut.Bytes);
        node.AssertConserved();
    }

    /// <summary>A receiver that puts the segments it accepts in order reads the bytes that were sent, and no corrupt packet is marked as good.</summary>
    [Theory]
    [MemberData(nameof(Seeds))]
    public void Process_StreamWithCorruption_ReassemblesToWhatWasSentIntact(int seed)
    {
        var random = new Random(seed);
        byte[] stream = new byte[200_000];
        random.NextBytes(stream);
        PlainPacket packet = new() { V6 = seed % 2 == 0, Sequence = 0xffff_0000, Payload = [] };
        var intact = new HashSet<int>();
        var node = new IngressNode();
        for (int at = 0; at < stream.Length; at += packet.Payload.Length)
        {
            int length = Math.Min(random.Next(8) == 0 ? random.Next(1, 1400) : 1400, stream.Length - at);
            packet = packet.Next(stream[at..(at + length)]) with { Flags = random.Next(20) == 0 ? (byte)0x18 : (byte)0x10 };
            byte[] frame = packet.Build();
            if (random.Next(10) == 0) frame[random.Next(packet.HeadersLength, frame.Length)] ^= (byte)(1 << random.Next(8));
            else intact.UnionWith(Enumerable.Range(at, length));
            node.DeliverSingly([frame]);
        }
        node.Run();

        byte[] received = new byte[stream.Length];
        var accepted = new HashSet<int>();
        foreach (MemoryFrame written in node.Device.Written)
        {
            foreach (byte[] segment in PlainSegmenter.Segment(written))
            {
                int transport = packet.TransportOffset;
                bool isValid = PlainPacket.Sum(segment.AsSpan(transport), PlainPacket.PseudoHeader(segment, transport, udp: false)) == 0xffff;
                if (!isValid)
                {
                    Assert.Equal(default, written.Offload);
                    continue;
                }
                int at = (int)(BinaryPrimitives.ReadUInt32BigEndian(segment.AsSpan(transport + 4)) - 0xffff_0000);
                segment.AsSpan(packet.HeadersLength).CopyTo(received.AsSpan(at));
                accepted.UnionWith(Enumerable.Range(at, segment.Length - packet.HeadersLength));
            }
        }
        Assert.True(accepted.SetEquals(intact));
        Assert.All(accepted, at => Assert.Equal(stream[at], received[at]));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Process_AnyBytes_NeverThrowsAndConservesPackets(int seed)
    {
        var random = new Random(seed);
        var node = new IngressNode();
        node.Device.Room = random.Next(400);
        List<byte[]> arrivals = RandomPackets.Arrivals(random);
        for (int i = 0; i < 300; i++)
        {
            byte[] train = random.Next(4) switch
            {
                0 => RandomPackets.Bytes(random, random.Next(200)),
                1 => IngressNode.Tunnel(RandomPackets.Bytes(random, random.Next(200))),
                2 => IngressNode.Tunnel(RandomPackets.Mutate(arrivals[random.Next(arrivals.Count)], random)),
                _ => [.. Enumerable.Range(0, 3).SelectMany(_ => IngressNode.Tunnel(RandomPackets.Mutate(arrivals[random.Next(arrivals.Count)], random)))],
            };
            int segmentSize = random.Next(3) == 0 ? random.Next(1, train.Length + 2) : 0;
            node.Underlay.Deliver(
                random.Next(20) == 0 ? IngressNode.Stranger : IngressNode.PeerV6, train, segmentSize, (byte)random.Next(256));
        }
        node.Run();
        node.AssertConserved();
        long received = node.Counters.IngressIn.Packets + node.OtherCounters.IngressIn.Packets + node.Unassigned.IngressIn.Packets;
        Assert.True(received >= 300);
    }

    /// <summary>Frames as text, grouped by addresses, ports and protocol; the identification of packets that must not be fragmented is left out.</summary>
    private static SortedDictionary<string, List<string>> ByFlow(IEnumerable<byte[]> frames)
    {
        var flows = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        foreach (byte[] original in frames)
        {
            byte[] frame = (byte[])original.Clone();
            bool v4 = frame[12] == 0x08;
            if (v4 && (frame[20] & 0x40) != 0) frame.AsSpan(18, 2).Clear();
            if (v4 && (frame[20] & 0x40) != 0) frame.AsSpan(24, 2).Clear();
            string key = Convert.ToHexString(v4 ? frame.AsSpan(26, 12) : frame.AsSpan(22, 36)) + frame[v4 ? 23 : 20];
            if (!flows.TryGetValue(key, out List<string>? list)) flows.Add(key, list = []);
            list.Add(Convert.ToHexString(frame));
        }
        return flows;
    }
}
