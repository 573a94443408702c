using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Tunnels;

namespace Overlay.Dataplane.Ingress;

/// <content>What the observer is shown: each datagram as it came, once it is known what becomes of it.</content>
public sealed partial class IngressPath
{
    /// <summary>Index of the first train that is shown whatever becomes of it.</summary>
    private int _shown;

    /// <summary>Index of the train that is being taken.</summary>
    private int _train;

    /// <summary>Why the datagram that is being taken is dropped; null: it is not, so far.</summary>
    private DropReason? _refusal;

    /// <summary>Is shown what comes and what becomes of it; null: nobody is.</summary>
    public PacketObserver? Observer { get; init; }

    /// <summary>While nobody captures, the last datagram of each of the last trains is shown.</summary>
    private bool IsShown(bool isLast) => _train >= _shown && (isLast || Observer!.IsCapturing);

    /// <returns>True when somebody waits for the outcome.</returns>
    private bool ShowArrival(ReadOnlySpan<byte> datagram, bool isTunnelled, in TunnelHeader tunnel, Segment? segment, Peer? peer, in ReceivedTrain train) =>
        Observer!.ArriveDatagram(_train, datagram, InnerPart.Of(isTunnelled, tunnel), segment, peer, train.Source.Address);

    /// <param name="packets">That it was counted as; 0: it was a path message.</param>
    private void ShowOutcome(
        ReadOnlySpan<byte> datagram, bool isTunnelled, in TunnelHeader tunnel, Segment? segment, Peer? peer, in ReceivedTrain train, int packets)
    {
        if (Observer is not { } observer) return;
        bool isDropped = _refusal is not null;
        var record = new PacketRecord
        {
            Segment = isTunnelled ? segment : null,
            Peer = peer,
            Remote = train.Source,
            Length = datagram.Length,
            Packets = packets,
            TrafficClass = train.TrafficClass,
            Protocol = train.Protocol,
            EncapsulationLimit = DatagramTrain.NoLimit,
            Encapsulation = train.Encapsulation,
            At = ObservedAt.Outer,
            Verdict = isDropped ? PacketVerdict.Dropped : packets == 0 ? PacketVerdict.PathMessage : PacketVerdict.Forwarded,
            Reason = _refusal.GetValueOrDefault(),
        };
        observer.Settle(ref record, datagram);
        if (isDropped) observer.Drop(ref record, datagram, InnerPart.Of(isTunnelled, tunnel));
    }
}
