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

    /// <summary>Why the frame that is being taken, or a copy of it, is dropped; null: it is not, so far.</summary>
    private DropReason? _refusal;

    /// <summary>Whom it was for then; null: nobody in particular.</summary>
    private Peer? _refusedPeer;

    /// <summary>Shows the answers that the device was given. To be called before they are cleared.</summary>
    public void ShowAnswers(GatherBatch answers)
    {
        if (Observer is { } observer && _segment is { } segment) observer.Answered(answers, segment, _neighbors.Memory, _errors.Memory);
    }

    /// <returns>True when somebody waits for the outcome.</returns>
    private bool ShowArrival(int index, in Frame frame) => Observer!.Arrive(index, _memory!.Span(frame.Offset, frame.Length), frame.Offload, _segment!);

    private void ShowOutcome(in Frame frame, SendBatch output, bool isAnswered)
    {
        if (Observer is not { } observer) return;
        bool isDropped = _refusal is not null;
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
            Reason = _refusal.GetValueOrDefault(),
        };
        ReadOnlySpan<byte> bytes = _memory!.Span(frame.Offset, frame.Length);
        observer.Settle(ref record, bytes);
        if (isDropped) observer.Drop(ref record, bytes, InnerPart.None);
    }
}
