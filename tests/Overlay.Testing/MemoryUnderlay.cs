using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Devices;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Tunnels;

namespace Overlay.Testing;

/// <summary>A train as a <see cref="MemoryUnderlay"/> took it, its slices gathered.</summary>
/// <param name="Train">As it was in the batch.</param>
/// <param name="Bytes">All slices together.</param>
public sealed record SentTrain(DatagramTrain Train, byte[] Bytes)
{
    /// <summary>The UDP payloads, cut at the train's segment size as the kernel cuts them.</summary>
    public IEnumerable<byte[]> Datagrams => Bytes.Chunk(Train.SegmentSize == 0 ? Bytes.Length : Train.SegmentSize);
}

/// <summary>A train that a <see cref="MemoryUnderlay"/> is to deliver.</summary>
/// <param name="Payload">UDP payloads, one behind the other.</param>
/// <param name="SegmentSize">Bytes of each payload; the last may be shorter.</param>
/// <param name="Protocol">IP-in-IP only: protocol of the outer header.</param>
public sealed record IncomingTrain(
    UnderlayEndpoint Source, byte[] Payload, int SegmentSize, byte TrafficClass = 0, Encapsulation Encapsulation = Encapsulation.Vxlan, byte Protocol = 0);

/// <summary>An underlay in memory: keeps the trains sent, delivers those put into <see cref="Incoming"/>. Single-threaded.</summary>
public sealed class MemoryUnderlay : IUnderlay
{
    /// <summary>What <see cref="Receive"/> will deliver.</summary>
    public Queue<IncomingTrain> Incoming { get; } = new();

    /// <summary>What left, oldest first: only trains with outcome <see cref="SendOutcome.Sent"/>.</summary>
    public List<SentTrain> Sent { get; } = [];

    /// <summary>Decides what becomes of a train; every train is sent by default.</summary>
    public Func<DatagramTrain, SendOutcome> Outcome { get; set; } = _ => SendOutcome.Sent;

    public void Deliver(UnderlayEndpoint source, byte[] payload, int segmentSize = 0, byte trafficClass = 0, Encapsulation encapsulation = Encapsulation.Vxlan) =>
        Incoming.Enqueue(new IncomingTrain(source, payload, segmentSize == 0 ? payload.Length : segmentSize, trafficClass, encapsulation));

    /// <summary>What follows an outer IP header without more ado.</summary>
    public void DeliverIpInIp(UnderlayEndpoint source, byte[] payload, byte protocol, byte trafficClass = 0) =>
        Incoming.Enqueue(new IncomingTrain(source, payload, payload.Length, trafficClass, Encapsulation.IpInIp, protocol));

    public void Send(SendBatch batch)
    {
        foreach (ref DatagramTrain train in batch.Trains)
        {
            train.Outcome = Outcome(train);
            if (train.Outcome == SendOutcome.Sent) Sent.Add(new SentTrain(train, MemoryFrameDevice.Gather(batch.Slices(train))));
        }
    }

    public int Receive(ReceiveBatch batch)
    {
        batch.Count = 0;
        while (batch.Count < batch.Capacity && Incoming.TryDequeue(out IncomingTrain? next))
        {
            int slot = batch.Count++;
            int offset = ReceiveBatch.SlotOffset(slot);
            next.Payload.CopyTo(batch.Memory.Span(offset, next.Payload.Length));
            batch.Slots[slot] = new ReceivedTrain
            {
                Offset = offset,
                Length = next.Payload.Length,
                SegmentSize = next.SegmentSize,
                Source = next.Source,
                TrafficClass = next.TrafficClass,
                Encapsulation = next.Encapsulation,
                Protocol = next.Protocol,
            };
        }
        return batch.Count;
    }
}
