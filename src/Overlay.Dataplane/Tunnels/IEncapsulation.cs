using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>How datagrams of one encapsulation are taken apart. A type argument, chosen once a train.</summary>
internal interface IEncapsulation
{
    /// <summary>Bytes of the shortest tunnel header.</summary>
    static abstract int MinHeaderLength { get; }

    /// <param name="datagram">What follows the outer UDP header, or the outer IP header where there is none.</param>
    /// <param name="header">What was found; of a refused datagram only <see cref="TunnelHeader.FrameStart"/>, for accounting.</param>
    /// <param name="refusal">Why the datagram must be dropped, where it must.</param>
    static abstract bool TryParse(ReadOnlySpan<byte> datagram, out TunnelHeader header, out DropReason refusal);

    /// <summary>The segment that a datagram is for; null where there is none.</summary>
    /// <param name="snapshot">Whose segments there are.</param>
    /// <param name="header">The datagram's.</param>
    static abstract Segment? FindSegment(ForwardingSnapshot snapshot, in TunnelHeader header);

    /// <summary>False where a critical option is not known in the segment.</summary>
    /// <param name="datagram">As <see cref="TryParse"/> accepted it.</param>
    /// <param name="segment">The datagram's.</param>
    static abstract bool KnowsOptions(ReadOnlySpan<byte> datagram, Segment segment);

    /// <param name="frame">From <see cref="TunnelHeader.FrameStart"/> to the end of the datagram.</param>
    /// <param name="header">The datagram's.</param>
    /// <param name="packet">Where things are in the frame.</param>
    static abstract WireStatus TryParseInner(ReadOnlySpan<byte> frame, in TunnelHeader header, out InnerPacket packet);

    /// <summary>Applies what the encapsulation demands of an inner packet's header.</summary>
    /// <param name="frame">As <see cref="TryParseInner"/> accepted it.</param>
    /// <param name="packet">Where things are in it.</param>
    /// <param name="snapshot">Knows the tunnels' ends.</param>
    /// <returns>Null, or why the packet must be dropped.</returns>
    static abstract DropReason? Refusal(ReadOnlySpan<byte> frame, in InnerPacket packet, ForwardingSnapshot snapshot);
}
