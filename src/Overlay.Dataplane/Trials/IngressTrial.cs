using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Ingress;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;

namespace Overlay.Dataplane.Trials;

/// <summary>A datagram as an underlay delivers it.</summary>
/// <param name="Source">Outer source.</param>
/// <param name="Payload">What follows the outer UDP header, or of IP-in-IP the outer IP header.</param>
/// <param name="TrafficClass">Of the outer IP header.</param>
/// <param name="Encapsulation">By the port, or for IP-in-IP the protocol, that it arrived on.</param>
/// <param name="Protocol">IP-in-IP only: protocol of the outer header, 4 or 41.</param>
public sealed record ArrivedDatagram(UnderlayEndpoint Source, byte[] Payload, byte TrafficClass, Encapsulation Encapsulation, byte Protocol = 0);

/// <summary>A frame that a trial would have written to a device.</summary>
/// <param name="Segment">Whose device.</param>
/// <param name="Bytes">From the Ethernet header on.</param>
/// <param name="Offload">What the device is told of it.</param>
/// <param name="Packets">Packets that were joined in it.</param>
public sealed record TrialFrame(Segment Segment, byte[] Bytes, VirtioNetHeader Offload, int Packets);

/// <summary>What the way in did with datagrams.</summary>
/// <param name="Frames">For the devices.</param>
/// <param name="Drops">Datagrams that went no further, by reason.</param>
/// <param name="PathMessages">Datagrams that were path messages, which no device gets.</param>
public sealed record IngressTrialResult(IReadOnlyList<TrialFrame> Frames, IReadOnlyList<(DropReason Reason, long Packets)> Drops, int PathMessages);

/// <summary>Takes datagrams through <see cref="IngressPath"/>, as a worker does, and keeps what comes out. For explanations.</summary>
public static class IngressTrial
{
    private const int Trains = 16;

    /// <param name="snapshot">Of <see cref="TrialSnapshot"/>: the way in counts for its peers, and a bridge learns.</param>
    /// <param name="datagrams">In the order of arrival, each at most <see cref="ReceiveBatch.SlotLength"/> bytes.</param>
    public static IngressTrialResult Run(ForwardingSnapshot snapshot, IReadOnlyList<ArrivedDatagram> datagrams)
    {
        var inbox = new PathInbox(static () => { });
        var path = new IngressPath(queue: 0) { PathMessages = inbox };
        var batch = new ReceiveBatch(Math.Clamp(datagrams.Count, 1, Trains));
        QueueCounters[] counters = [.. snapshot.Segments.Select(_ => new QueueCounters())];
        IngressPort[] ports = [.. counters.Select(each => new IngressPort(batch.Capacity, each))];
        var unassigned = new QueueCounters();
        var frames = new List<TrialFrame>();
        for (int next = 0; next < datagrams.Count;)
        {
            for (batch.Count = 0; batch.Count < batch.Capacity && next < datagrams.Count;) Deliver(datagrams[next++], batch);
            path.Process(batch, snapshot, ports, unassigned);
            for (int i = 0; i < ports.Length; i++)
            {
                foreach (ref readonly GatheredFrame frame in ports[i].Frames.Frames)
                {
                    byte[] bytes = TrialBytes.Gather(ports[i].Frames.Slices(frame), frame.Length);
                    frames.Add(new TrialFrame(snapshot.Segments[i], bytes, frame.Offload, frame.Packets));
                }
                ports[i].Account();
            }
        }
        int messages = 0;
        while (inbox.TryTake(out _)) messages++;
        return new IngressTrialResult(frames, [.. Sum(counters.Append(unassigned))], messages);
    }

    private static void Deliver(ArrivedDatagram datagram, ReceiveBatch batch)
    {
        int slot = batch.Count++;
        int offset = ReceiveBatch.SlotOffset(slot);
        datagram.Payload.CopyTo(batch.Memory.Span(offset, datagram.Payload.Length));
        batch.Slots[slot] = new ReceivedTrain
        {
            Offset = offset,
            Length = datagram.Payload.Length,
            SegmentSize = datagram.Payload.Length,
            Source = datagram.Source,
            TrafficClass = datagram.TrafficClass,
            Encapsulation = datagram.Encapsulation,
            Protocol = datagram.Protocol,
        };
    }

    private static IEnumerable<(DropReason, long)> Sum(IEnumerable<QueueCounters> counters)
    {
        QueueCounters[] all = [.. counters];
        foreach (DropReason reason in DropReasons.All)
        {
            long packets = all.Sum(each => each.Drops[(int)reason]);
            if (packets > 0) yield return (reason, packets);
        }
    }
}
