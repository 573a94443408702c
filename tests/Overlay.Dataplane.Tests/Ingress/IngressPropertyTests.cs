using System.Buffers.Binary;
using Overlay.Dataplane.Ingress;
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
        List<byte[]> arrivals = RandomArrivals(random);
        var node = new IngressNode();
        DeliverInTrains(node, arrivals, random);
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
        List<byte[]> arrivals = RandomArrivals(random);
        for (int i = 0; i < 300; i++)
        {
            byte[] train = random.Next(4) switch
            {
                0 => RandomBytes(random, random.Next(200)),
                1 => IngressNode.Tunnel(RandomBytes(random, random.Next(200))),
                2 => IngressNode.Tunnel(Mutate(arrivals[random.Next(arrivals.Count)], random)),
                _ => [.. Enumerable.Range(0, 3).SelectMany(_ => IngressNode.Tunnel(Mutate(arrivals[random.Next(arrivals.Count)], random)))],
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

    [Fact]
    public void Process_Batches_AllocateNothing()
    {
        var random = new Random(7);
        var node = new IngressNode();
        List<byte[]> arrivals = RandomArrivals(random);
        arrivals.AddRange(Enumerable.Range(0, 20).Select(_ => Mutate(arrivals[random.Next(20)], random)));
        DeliverInTrains(node, arrivals, random);
        node.DeliverSingly(new PlainPacket { Payload = new byte[9000] }.BuildUnfinished());
        node.Underlay.Deliver(IngressNode.Stranger, new byte[100]);
        node.Underlay.Receive(node.Batch);
        Span<byte> memory = node.Batch.Memory.Span(0, node.Batch.Memory.Length);
        byte[] received = memory.ToArray();
        int frames = Round(node);

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            received.CopyTo(memory);
            frames += Round(node);
        }
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(node.Counters.IngressOut.SuperPackets > 100);
        Assert.True(frames > node.Counters.IngressOut.SuperPackets);
        node.AssertConserved();
    }

    /// <returns>Frames for the devices, which take them all.</returns>
    private static int Round(IngressNode node)
    {
        int frames = 0;
        node.Process();
        foreach (IngressPort port in node.Ports)
        {
            frames += port.Frames.Count;
            port.Account();
        }
        return frames;
    }

    private static List<byte[]> RandomArrivals(Random random)
    {
        PlainPacket[] flows = [.. Enumerable.Range(1, random.Next(1, 24)).Select(i => new PlainPacket
        {
            Host = (byte)i,
            V6 = random.Next(3) == 0,
            Udp = random.Next(3) == 0,
            DontFragment = random.Next(2) == 0,
            TcpOptions = random.Next(2) == 0 ? [] : [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4],
            Sequence = (uint)random.NextInt64(),
            NoChecksum = false,
            Payload = RandomBytes(random, random.Next(1, 1400)),
        })];
        var frames = new List<byte[]>();
        for (int i = 0; i < 400; i++)
        {
            ref PlainPacket flow = ref flows[random.Next(8) == 0 ? random.Next(flows.Length) : i / 40 % flows.Length];
            byte[] frame = flow.Build();
            int length = random.Next(10) == 0 ? random.Next(0, flow.Payload.Length + 20) : flow.Payload.Length;
            PlainPacket next = flow.Next(RandomBytes(random, length)) with { Flags = random.Next(12) == 0 ? (byte)0x18 : (byte)0x10 };
            flow = random.Next(25) switch
            {
                0 => next with { Window = (ushort)random.Next(65_536) },
                1 => next with { Flags = (byte)random.Next(256) },
                2 => next with { Acknowledgment = (uint)random.Next() },
                3 => next with { TimeToLive = (byte)random.Next(1, 256), TrafficClass = (byte)random.Next(256) },
                4 => next with { Identification = (ushort)random.Next(65_536) },
                _ => next,
            };
            switch (random.Next(20))
            {
                case 0:
                    continue;
                case 1:
                    frames.Insert(Math.Max(frames.Count - random.Next(4), 0), frame);
                    continue;
                case 2:
                    frames.Add(frame);
                    break;
                case 3:
                    frame[random.Next(34, frame.Length)] ^= 1;
                    break;
            }
            frames.Add(frame);
        }
        return frames;
    }

    private static void DeliverInTrains(IngressNode node, List<byte[]> frames, Random random)
    {
        for (int at = 0; at < frames.Count;)
        {
            int count = 1;
            int limit = Math.Min(random.Next(1, 45), 60_000 / (frames[at].Length + 8));
            while (at + count < frames.Count && count < limit && frames[at + count].Length == frames[at].Length) count++;
            node.DeliverTrain([.. frames.GetRange(at, count)]);
            at += count;
        }
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

    private static byte[] Mutate(byte[] frame, Random random)
    {
        byte[] mutant = (byte[])frame.Clone();
        for (int i = random.Next(3); i > 0; i--) mutant[random.Next(12, Math.Min(mutant.Length, 80))] = (byte)random.Next(256);
        return random.Next(4) == 0 ? mutant[..random.Next(mutant.Length)] : mutant;
    }

    private static byte[] RandomBytes(Random random, int length)
    {
        byte[] bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }
}
