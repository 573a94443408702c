using Overlay.Agent.Configuration;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Trials;
using Overlay.Dataplane.Tunnels;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Explaining;

/// <summary>Tells what a node does with packets from its underlay: the kernel's part in short, then the way in.</summary>
/// <param name="name">Of the node.</param>
/// <param name="basis">See <see cref="ArrivalDocument.Basis"/>.</param>
/// <param name="snapshot">What it forwards by, to be tried on.</param>
/// <param name="ports">What it listens on.</param>
/// <param name="takesIpInIp">Whether it takes IP-in-IP.</param>
/// <param name="own">Its outer addresses.</param>
/// <param name="takesZeroV6">Whether it takes UDP over IPv6 without a checksum.</param>
/// <param name="deviceOf">Name of a segment's device.</param>
internal sealed class Arrival(
    string name, string basis, ForwardingSnapshot snapshot, IReadOnlyList<(Encapsulation Encapsulation, ushort Port)> ports, bool takesIpInIp,
    IReadOnlyList<UInt128> own, bool takesZeroV6, Func<Segment, string> deviceOf)
{
    /// <summary>In the order that datagrams go through them.</summary>
    private static readonly string[] Stages = ["peer", "tunnel", "segment", "inner packet", "anti-spoofing", "ecn", "device"];

    private readonly List<ExplanationStage> _told = [];

    /// <param name="packets">From the outer IP header on.</param>
    /// <exception cref="QuestionRefusedException">One is no IP packet.</exception>
    public ArrivalDocument Tell(IReadOnlyList<byte[]> packets)
    {
        var datagrams = new List<ArrivedDatagram>();
        foreach (byte[] packet in packets)
        {
            if (Receive(packet, out ArrivedDatagram? datagram) is { } refusal)
            {
                Add("underlay", "dropped", refusal);
                return new ArrivalDocument(name, basis, "dropped", null, _told, []);
            }
            datagrams.Add(datagram!);
        }
        ArrivedDatagram first = datagrams[0];
        Add("underlay", "ok", $"the kernel delivers {Count(datagrams.Count, "datagram")} as {EncapsulationNames.Of(first.Encapsulation)}");

        IngressTrialResult result = IngressTrial.Run(snapshot, datagrams);
        DropReason? drop = result.Drops.Count > 0 ? result.Drops[0].Reason : null;
        int last = drop is { } reason ? Array.IndexOf(Stages, StageOf(reason)) : Stages.Length - 1;
        for (int i = 0; i < last; i++) Passed(Stages[i], first, result);
        if (drop is null) Delivered(result);
        foreach ((DropReason why, long count) in result.Drops)
            Add(StageOf(why), "dropped", $"{DropReasons.Meaning(why)} ({DropReasons.Name(why)})", $"{count} of {Count(datagrams.Count, "datagram")}");
        string outcome = drop is not null ? "dropped" : result.Frames.Count > 0 ? "delivered" : "taken";
        return new ArrivalDocument(
            name, basis, outcome, drop is { } told ? DropReasons.Name(told) : null, _told,
            [.. result.Frames.Select(frame => new FrameDocument(FrameText.Of(frame.Bytes), Convert.ToHexStringLower(frame.Bytes)))]);
    }

    private static string StageOf(DropReason reason) => reason switch
    {
        DropReason.IngressUnknownPeer => "peer",
        DropReason.IngressUnknownSegment => "segment",
        DropReason.IngressInnerMalformed or DropReason.IngressInnerVlan => "inner packet",
        DropReason.IngressInnerMac or DropReason.IngressSourceMac or DropReason.IngressReservedMac or DropReason.IngressSpoofedMac
            or DropReason.IngressInnerSource or DropReason.IngressReversePath or DropReason.IngressExpired => "anti-spoofing",
        DropReason.IngressEcnConflict => "ecn",
        DropReason.IngressDeviceRefused => "device",
        _ => "tunnel",
    };

    private void Passed(string stage, ArrivedDatagram first, IngressTrialResult result)
    {
        switch (stage)
        {
            case "peer":
                Add(stage, "ok", $"{IpBits.ToAddress(first.Source.Address)} is {snapshot.Peers.Find(first.Source.Address)?.Name}");
                break;
            case "segment" when result.Frames.Count > 0:
                Segment segment = result.Frames[0].Segment;
                Add(stage, "ok", segment.Vni == Segment.NoVni ? segment.Name : $"{segment.Name}, VNI {FrameText.Number(segment.Vni)}");
                break;
            case "ecn" when result.Frames.Count > 0 && InnerPacket.TryParseFrame(result.Frames[0].Bytes, out InnerPacket packet) == WireStatus.Ok:
                Add(stage, "ok", $"outer {FrameText.Ecn(first.TrafficClass)}: delivered with {FrameText.Ecn(packet.Ecn)} (RFC 6040)");
                break;
            case "tunnel":
                Add(stage, "ok", $"{EncapsulationNames.Of(first.Encapsulation)}, nothing in it that must not be forwarded");
                break;
            case "inner packet":
                Add(stage, "ok", "its headers agree with its length");
                break;
            case "anti-spoofing":
                Add(stage, "ok", "from and to whom it may be in this segment");
                break;
            default:
                Add(stage, "ok", "accepted");
                break;
        }
    }

    private void Delivered(IngressTrialResult result)
    {
        if (result.PathMessages > 0) Add("path probe", "ok", $"{Count(result.PathMessages, "path message")} for the daemon itself");
        foreach (TrialFrame frame in result.Frames)
        {
            string joined = frame.Packets > 1 ? $", {Count(frame.Packets, "packet")} joined" : "";
            Add("device", "ok", $"{deviceOf(frame.Segment)} gets {FrameText.Of(frame.Bytes)}{joined}");
        }
    }

    private void Add(string stage, string outcome, string text, params string[] details) => _told.Add(new ExplanationStage(stage, outcome, text, details));

    private static string Count(long count, string what) => $"{FrameText.Number(count)} {what}{(count == 1 ? "" : "s")}";

    /// <summary>What the kernel does: whose the packet is, and which socket gets it.</summary>
    /// <returns>Null, or why no socket does.</returns>
    private string? Receive(byte[] packet, out ArrivedDatagram? datagram)
    {
        datagram = null;
        UInt128 source, destination;
        byte protocol, trafficClass;
        ReadOnlySpan<byte> payload;
        bool isFragment;
        if (Ipv4Packet.TryParse(packet, out Ipv4Packet v4) == WireStatus.Ok)
        {
            (source, destination, protocol, trafficClass) = (IpBits.Mapped(v4.Source), IpBits.Mapped(v4.Destination), v4.Protocol, v4.TrafficClass);
            payload = v4.Payload;
            isFragment = v4.IsFragment;
            if (!v4.IsHeaderChecksumValid) return "the kernel drops it: its IPv4 header checksum is wrong";
        }
        else if (Ipv6Packet.TryParse(packet, out Ipv6Packet v6) == WireStatus.Ok)
        {
            (source, destination, protocol, trafficClass) = (v6.Source, v6.Destination, v6.UpperProtocol, v6.TrafficClass);
            payload = v6.UpperPayload;
            isFragment = v6.IsFragment;
        }
        else
        {
            throw new QuestionRefusedException("what arrives must be a whole IP packet; give it from the outer IP header on");
        }
        if (isFragment) return "a fragment: the kernel waits for the others; ask about the whole packet";
        if (!own.Contains(destination)) return $"{IpBits.ToAddress(destination)} is no outer address of this node";
        if (protocol is IpProtocols.Ipv4InIp or IpProtocols.Ipv6InIp)
        {
            if (!takesIpInIp) return "IP-in-IP is neither sent nor accepted here: 'tunnel: accept:'";
            datagram = new ArrivedDatagram(new UnderlayEndpoint(source, 0), payload.ToArray(), trafficClass, Encapsulation.IpInIp, protocol);
            return null;
        }
        if (protocol != IpProtocols.Udp || UdpHeader.TryParse(payload, out UdpHeader udp) != WireStatus.Ok) return $"IP protocol {protocol} carries no tunnel here";
        if (udp.Checksum == 0 ? !IpBits.IsMapped(source) && !takesZeroV6 : !IsValid(payload[..udp.Length], source, destination))
            return "the kernel drops it: its outer UDP checksum is wrong or missing";
        ushort port = udp.DestinationPort;
        foreach ((Encapsulation encapsulation, ushort listens) in ports)
        {
            if (listens != port) continue;
            datagram = new ArrivedDatagram(new UnderlayEndpoint(source, udp.SourcePort), udp.Payload.ToArray(), trafficClass, encapsulation);
            return null;
        }
        return $"nobody listens on UDP port {port}: 'underlay: port:' and 'tunnel: accept:'";
    }

    private static bool IsValid(ReadOnlySpan<byte> datagram, UInt128 source, UInt128 destination)
    {
        ulong pseudoHeader = IpBits.IsMapped(source)
            ? InternetChecksum.PseudoHeaderV4((uint)source, (uint)destination, IpProtocols.Udp, datagram.Length)
            : InternetChecksum.PseudoHeaderV6(source, destination, IpProtocols.Udp, datagram.Length);
        return InternetChecksum.IsValid(InternetChecksum.Add(datagram, pseudoHeader));
    }
}
