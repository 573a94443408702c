using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Offload;

namespace Overlay.Dataplane.Ingress;

/// <summary>
/// Where one queue's packets of one segment go: frames for the device, and the counters. One worker thread owns it.
/// </summary>
public sealed class IngressPort
{
    // What the kernel joins into one train at most (UDP_GRO_CNT_MAX).
    private const int DatagramsPerTrain = 64;

    /// <param name="trains">Capacity of the receive batches to come. Their datagrams fit, joined or not.</param>
    /// <param name="counters">Of the queue and segment.</param>
    public IngressPort(int trains, QueueCounters counters)
    {
        int packets = trains * DatagramsPerTrain;
        // A packet that came without an Ethernet header is gathered from two slices.
        Frames = new GatherBatch(packets, 2 * packets);
        Counters = counters;
        Coalescer = new Coalescer(Frames, counters);
    }

    /// <summary>For the device to write after <see cref="IngressPath.Process"/>; the bytes lie in the receive batch.</summary>
    public GatherBatch Frames { get; }

    public QueueCounters Counters { get; }

    internal Coalescer Coalescer { get; }

    /// <summary>Counts what became of the frames after the device was given them, and empties <see cref="Frames"/>.</summary>
    public void Account()
    {
        long packets = 0, bytes = 0, superPackets = 0;
        foreach (ref readonly GatheredFrame frame in Frames.Frames)
        {
            if (frame.Refused)
            {
                Counters.Drop(DropReason.IngressDeviceRefused, frame.Packets);
                continue;
            }
            packets += frame.Packets;
            bytes += frame.Length + ((frame.Packets - 1) * (long)frame.Offload.HeaderLength);
            if (frame.Packets == 1) continue;
            superPackets++;
            Counters.IngressSizes.Add(frame.Length);
        }
        Counters.IngressOut.Add(packets, bytes, superPackets);
        Frames.Clear();
    }
}
