using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Observation;

namespace Overlay.Dataplane.Egress;

/// <content>What the observer is shown.</content>
public sealed partial class EgressPath
{
    private PacketMemory? _memory;
    private Segment? _segment;

    /// <summary>Whom the packet was for that was dropped last; null: nobody in particular.</summary>
    private Peer? _refusedPeer;

    private void ShowArrival(int index, in Frame frame) => Observer!.Arrive(index, _memory!.Span(frame.Offset, frame.Length), _segment!);

    private void ShowOutcome(in Frame frame, SendBatch output, bool isDropped, DropReason reason, bool isAnswered)
    {
        if (Observer is not { } observer) return;
        var record = new PacketRecord
        {
            Segment = _segment,
            Peer = isDropped ? _refusedPeer : isAnswered || output.Count == 0 ? null : output.Trains[_trains.Latest].Peer,
            Offload = frame.Offload,
            Length = frame.Length,
            Packets = 1,
            Encapsulation = _segment!.Tunnel.Encapsulation,
            At = ObservedAt.Inner,
            IsEgress = true,
            Verdict = isDropped ? PacketVerdict.Dropped : isAnswered ? PacketVerdict.Answered : PacketVerdict.Forwarded,
            Reason = reason,
        };
        observer.Settle(ref record);
        if (isDropped) observer.Drop(ref record, _memory!.Span(frame.Offset, frame.Length), InnerPart.None);
    }
}
