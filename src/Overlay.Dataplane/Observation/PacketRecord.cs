using System.Runtime.InteropServices;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;

namespace Overlay.Dataplane.Observation;

/// <summary>Where a packet was seen.</summary>
public enum ObservedAt : byte
{
    /// <summary>Between the daemon and the segment's device: an Ethernet frame.</summary>
    Inner,

    /// <summary>Between the daemon and the underlay: what follows the outer UDP header or, of IP-in-IP, the outer IP header.</summary>
    Outer,
}

/// <summary>What became of a packet.</summary>
public enum PacketVerdict : byte
{
    Forwarded,

    /// <summary>A question for a neighbour that the daemon answered.</summary>
    Answered,

    /// <summary>What daemons tell each other about the path; it is no packet of a segment.</summary>
    PathMessage,

    /// <summary>Made by the daemon for the hosts on its side: an answer to a question for a neighbour, or an ICMP error.</summary>
    Own,

    Dropped,
}

/// <summary>What is known of a packet that was seen, beside its bytes.</summary>
[StructLayout(LayoutKind.Auto)]
public struct PacketRecord
{
    /// <summary>Null: it belongs to none.</summary>
    public Segment? Segment;

    /// <summary>Where it goes or came from; null: nowhere, or from somebody unknown. Of several, the first.</summary>
    public Peer? Peer;

    /// <summary>The other end on the underlay; of inner packets nothing.</summary>
    public UnderlayEndpoint Remote;

    /// <summary>Of the batch, in 100 ns since 0001-01-01 UTC.</summary>
    public long Time;

    /// <summary>Of inner packets: what the device left to do, or was left.</summary>
    public VirtioNetHeader Offload;

    /// <summary>Bytes of the packet.</summary>
    public int Length;

    /// <summary>Bytes that were kept, from its start.</summary>
    public int Kept;

    /// <summary>Packets that it stands for.</summary>
    public int Packets;

    /// <summary>Of outer packets that are sent; 0 where there is none.</summary>
    public ushort SourcePort;

    /// <summary>Of outer packets: IPv4 TOS or IPv6 traffic class.</summary>
    public byte TrafficClass;

    /// <summary>Of outer packets that are sent; 0: the one configured.</summary>
    public byte TimeToLive;

    /// <summary>Of outer packets without UDP: 4 or 41.</summary>
    public byte Protocol;

    /// <summary>Of outer packets that are sent without UDP over IPv6: <see cref="Buffers.DatagramTrain.EncapsulationLimit"/>.</summary>
    public short EncapsulationLimit;

    public Encapsulation Encapsulation;
    public ObservedAt At;
    public bool IsEgress;
    public PacketVerdict Verdict;

    /// <summary>Where it was dropped.</summary>
    public DropReason Reason;
}
