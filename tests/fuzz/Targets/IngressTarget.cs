using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Fuzz.Targets;

/// <summary>Whole batches of mutated datagrams, single and in trains, through the way in: in = out + dropped.</summary>
internal sealed class IngressTarget : IFuzzTarget
{
    private const int Trains = 16;
    private const int UdpHeaderEnd = 42;
    private const uint Vni = 42;

    private static readonly MacAddress DeviceMac = new([2, 0, 0, 0, 0, 1]);
    private static readonly UnderlayEndpoint Known = new(IpBits.Mapped(0xc000_0202), 4789);
    private static readonly UnderlayEndpoint KnownV6 = new(new UInt128(0x2001_0db8_0000_0000, 2), 4789);
    private static readonly UnderlayEndpoint Stranger = new(IpBits.Mapped(0xc000_0299), 4789);

    private readonly PathInbox _paths = new(() => { });
    private readonly IngressPath _path;
    private readonly ReceiveBatch _batch = new(Trains);
    private readonly MemoryUnderlay _underlay = new();
    private readonly IngressPort[] _ports = [.. Enumerable.Range(0, 3).Select(_ => new IngressPort(Trains, new QueueCounters()))];
    private readonly QueueCounters _unassigned = new();
    private readonly ForwardingSnapshot _snapshot;

    public IngressTarget()
    {
        _path = new IngressPath(queue: 0) { PathMessages = _paths };
        var mac = new MacAddress([2, 0, 0, 0, 0, 2]);
        Peer[] peers = [new("a", Known, mac, new PeerTraffic(1)), new("b", KnownV6, mac, new PeerTraffic(1)) { ChecksReversePath = true }];
        // Half of what the corpus has for sources.
        var routes = new RouteTable([new RoutePrefix(IpBits.Mapped(0x0a00_0000), 9, 1), new RoutePrefix(new UInt128(0xfd00_0000_0000_0000, 0), 9, 1)]);
        byte[] options = new byte[8];
        GeneveOption.Write(options, 0x0102, 0x83, [1, 2, 3, 4]);
        var geneve = new TunnelFormat { Encapsulation = Encapsulation.Geneve, GeneveOptions = options, KeepsVlanTags = true };
        Segment[] segments =
        [
            new(0, "vxlan", Vni, DeviceMac, 1450, routes, peers, TunnelFormat.Vxlan),
            new(1, "geneve", Vni + 1, DeviceMac, 1450, routes, peers, geneve),
            new(2, "ipip", Segment.NoVni, DeviceMac, 1480, routes, peers, new TunnelFormat { Encapsulation = Encapsulation.IpInIp }),
        ];
        _snapshot = new ForwardingSnapshot(1, segments, new PeerTable(peers)) { IpInIpSegment = segments[2], OwnAddresses = [IpBits.Mapped(0xc000_0201)] };
    }

    public string Name => "ingress path";

    public int Share => 200;

    public void Run(Random random, InputSource inputs, int count, Verdicts verdicts)
    {
        for (int left = count; left > 0;)
        {
            for (int i = 0; i < Trains; i++) left -= Deliver(random, inputs);
            while (_underlay.Receive(_batch) > 0)
            {
                _path.Process(_batch, _snapshot, _ports, _unassigned);
                foreach (IngressPort port in _ports) Account(port);
                while (_paths.TryTake(out ReceivedPathMessage message)) Check(message);
            }
        }
        foreach (QueueCounters counters in _ports.Select(port => port.Counters).Append(_unassigned))
        {
            Balance(counters);
            verdicts.Add(counters);
        }
    }

    /// <returns>Datagrams delivered.</returns>
    private int Deliver(Random random, InputSource inputs)
    {
        if (random.Next(3) == 0) return DeliverIpInIp(random, inputs);
        int datagrams = random.Next(3) == 0 ? random.Next(2, 8) : 1;
        bool isGeneve = random.Next(2) == 0;
        byte[] first = Datagram(random, inputs, isGeneve);
        var train = new List<byte>(first);
        for (int i = 1; i < datagrams; i++)
        {
            byte[] next = random.Next(2) == 0 ? [.. first] : Datagram(random, inputs, isGeneve);
            Array.Resize(ref next, i == datagrams - 1 && first.Length > 0 ? random.Next(first.Length + 1) : first.Length);
            if (next.Length > 8 && random.Next(2) == 0) next[random.Next(8, next.Length)]++;
            train.AddRange(next);
        }
        _underlay.Deliver(
            Source(random), [.. train], first.Length, (byte)random.Next(256),
            isGeneve ? Encapsulation.Geneve : Encapsulation.Vxlan);
        return datagrams;
    }

    /// <summary>What follows the Ethernet header of a frame, or an outer IP header in it, as either version.</summary>
    private int DeliverIpInIp(Random random, InputSource inputs)
    {
        ReadOnlySpan<byte> frame = inputs.Frame();
        int start = random.Next(4) switch { 0 => 34, 1 => 54, _ => EthernetFrame.MinHeaderLength };
        ReadOnlySpan<byte> packet = frame[Math.Min(start, frame.Length)..];
        bool isIpv6 = random.Next(8) == 0 ? random.Next(2) == 0 : !packet.IsEmpty && packet[0] >> 4 == 6;
        _underlay.DeliverIpInIp(
            Source(random), packet.ToArray(), isIpv6 ? IpProtocols.Ipv6InIp : IpProtocols.Ipv4InIp, (byte)random.Next(256));
        return 1;
    }

    private static UnderlayEndpoint Source(Random random) => random.Next(10) switch
    {
        0 => Stranger,
        < 4 => KnownV6,
        _ => Known,
    };

    private static byte[] Datagram(Random random, InputSource inputs, bool isGeneve)
    {
        if (random.Next(3) == 0)
        {
            byte[] sound = inputs.Sound();
            byte[] whole = [.. sound.AsSpan(Math.Min(UdpHeaderEnd, sound.Length))];
            return whole[..inputs.Mutate(whole, whole.Length)];
        }
        ReadOnlySpan<byte> frame = inputs.Frame();
        if (frame.Length >= 12 && random.Next(8) != 0)
        {
            byte[] addressed = frame.ToArray();
            DeviceMac.CopyTo(addressed);
            frame = addressed;
        }
        uint vni = Vni + (uint)random.Next(random.Next(8) == 0 ? 3 : 2);
        byte flags = random.Next(8) == 0 ? (byte)random.Next(256) : (byte)(isGeneve ? 0 : 8);
        byte[] word = [flags, 0, 0, 0, (byte)(vni >> 16), (byte)(vni >> 8), (byte)vni, (byte)random.Next(256)];
        if (!isGeneve) return [.. word, .. frame];
        bool isBare = random.Next(3) == 0 && frame.Length >= EthernetFrame.MinHeaderLength;
        (word[2], word[3]) = isBare ? (frame[12], frame[13]) : ((byte)0x65, (byte)0x58);
        word[1] = random.Next(8) == 0 ? (byte)random.Next(256) : (byte)0;
        ReadOnlySpan<byte> payload = isBare ? frame[EthernetFrame.MinHeaderLength..] : frame;
        if (random.Next(3) != 0) return [.. word, .. payload];
        word[0] = 2;
        return [.. word, 1, 2, (byte)(random.Next(4) == 0 ? random.Next(256) : 0x83), (byte)(random.Next(4) == 0 ? random.Next(32) : 1), 1, 2, 3, 4, .. payload];
    }

    private void Account(IngressPort port)
    {
        foreach (ref readonly GatheredFrame frame in port.Frames.Frames)
        {
            long length = 0;
            foreach (BufferSlice slice in port.Frames.Slices(frame)) length += _batch.Memory.Length >= slice.Length ? (long)slice.Length : -1;
            if (length != frame.Length) throw new InvalidOperationException($"slices of {length} bytes in a frame of {frame.Length}");
        }
        port.Account();
    }

    private static void Check(in ReceivedPathMessage message)
    {
        if (message.Size < PathMessage.Length || message.Echo is < 0 or > ushort.MaxValue || message.Kind is not (PathMessageKind.Probe or PathMessageKind.Answer))
            throw new InvalidOperationException($"a path message of {message.Size} bytes: {message}");
    }

    private static void Balance(QueueCounters counters)
    {
        long drops = 0;
        foreach (long count in counters.Drops) drops += count;
        if (counters.IngressIn.Packets != counters.IngressOut.Packets + drops)
            throw new InvalidOperationException($"{counters.IngressIn.Packets} in, {counters.IngressOut.Packets} out, {drops} dropped");
    }
}
