using System.Buffers.Binary;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <content>TCP segments that are sent again and again to peers which answer no probes.</content>
public sealed partial class EgressPath
{
    private const int SequenceOffset = 4;

    /// <summary>Notes a TCP segment, and sends it in smaller ones where it is lost for its size as far as one can tell.</summary>
    /// <param name="prefix">Bytes from the tunnel header to the IP packet.</param>
    /// <returns>Null: it is to be sent as it is. False: the frame has to wait for an empty output.</returns>
    private bool? TakeRepeat(
        in Frame frame, Span<byte> bytes, in InnerPacket packet, in OuterFlow flow, RepeatWatch repeats, int prefix, int route, PacketMemory memory,
        Segment segment, SendBatch output, GatherBatch answers, QueueCounters counters)
    {
        int payload = packet.End - packet.HeadersEnd;
        if (packet.Protocol != IpProtocols.Tcp || !packet.HasTransport || payload == 0) return null;
        int headers = prefix + packet.HeadersEnd - packet.NetworkOffset;
        int outer = segment.OuterLengthTo(flow.Peer);
        int cut = RepeatWatch.Smaller - outer - headers;
        if (cut < LeastCut) return null;
        int count = (payload + cut - 1) / cut;
        // Asked first, so that a frame that is taken again is noted once.
        if (!HasRoom(output, count, RepeatWatch.Smaller, headers + TunnelSegmenter.MaxPrefixLength)) return NoRoom(output, 1, frame.Length, counters, flow.Peer);
        uint sequence = BinaryPrimitives.ReadUInt32BigEndian(bytes[(packet.TransportOffset + SequenceOffset)..]);
        if (!repeats.IsToBeCut(packet.FlowHash, sequence, outer + headers + payload)) return null;

        if ((frame.Offload.Flags & VirtioNetFlags.NeedsChecksum) == 0) TransportChecksum.Unfinish(bytes, packet);
        Frame smaller = frame;
        smaller.Offload = new VirtioNetHeader
        {
            Flags = VirtioNetFlags.NeedsChecksum,
            GsoType = packet.IsIpv4 ? VirtioGsoType.Tcp4 : VirtioGsoType.Tcp6,
            HeaderLength = (ushort)packet.HeadersEnd,
            SegmentSize = (ushort)cut,
            ChecksumStart = (ushort)packet.TransportOffset,
            ChecksumOffset = TcpHeader.ChecksumOffset,
        };
        return TakeSuperPacket(smaller, packet, count, flow, route, memory, segment, output, answers, counters);
    }
}
