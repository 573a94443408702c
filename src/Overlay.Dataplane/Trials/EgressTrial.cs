using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Offload;

namespace Overlay.Dataplane.Trials;

/// <summary>A train that a trial would have sent.</summary>
/// <param name="Train">As the underlay would have got it.</param>
/// <param name="Datagrams">
/// UDP payloads, or packets behind the outer IP header, cut where the kernel would cut them; of a
/// <see cref="TrainKind.TunnelSuperPacket"/> the whole, from its virtio-net header on.
/// </param>
public sealed record TrialTrain(DatagramTrain Train, IReadOnlyList<byte[]> Datagrams);

/// <summary>What the way out did with a frame.</summary>
/// <param name="Trains">In the order of sending.</param>
/// <param name="Answers">Frames for the device: ICMP errors, answers to ARP and neighbour solicitations.</param>
/// <param name="Counters">Of this frame alone; sent trains are not among them.</param>
public sealed record EgressTrialResult(IReadOnlyList<TrialTrain> Trains, IReadOnlyList<byte[]> Answers, QueueCounters Counters)
{
    /// <summary>Why it, or a copy of it, went no further; null: nothing was dropped.</summary>
    public DropReason? Drop => Counters.FirstDrop();

    /// <summary>True for a question that was answered on the spot.</summary>
    public bool IsAnswered => Counters.EgressAnswered > 0;
}

/// <summary>
/// Takes a single frame through <see cref="EgressPath"/>, as a worker does, and keeps what comes out: nothing leaves, and nothing is counted
/// outside. For explanations, so not for the packet path.
/// </summary>
public static class EgressTrial
{
    private const int Answers = 64;

    /// <param name="options">Of the worker whose way is tried.</param>
    /// <param name="segment">Where the frame comes from; of a snapshot of <see cref="TrialSnapshot"/>, for a bridge learns.</param>
    /// <param name="frame">From the Ethernet header on; at most <see cref="FrameBatch.MaxFrameLength"/> bytes.</param>
    /// <param name="offload">What the device says of it.</param>
    /// <param name="output">As large as the worker's, on which it depends what fits. Empty, and left so.</param>
    public static EgressTrialResult Run(EgressOptions options, Segment segment, ReadOnlySpan<byte> frame, in VirtioNetHeader offload, SendBatch output)
    {
        var path = new EgressPath(options);
        var memory = new PacketMemory(segment.Headroom + FrameBatch.MaxFrameLength);
        var input = new FrameBatch(memory, segment.Headroom, capacity: 1, superPacketLimit: 1);
        ref Frame slot = ref input.Next();
        frame.CopyTo(memory.Span(slot.Offset, frame.Length));
        slot.Offload = offload;
        input.Commit(frame.Length);

        var answers = new GatherBatch(Answers, Answers);
        var counters = new QueueCounters();
        var trains = new List<TrialTrain>();
        for (int next = 0; next < input.Count; output.Clear())
        {
            next = path.Process(input, next, segment, output, answers, counters);
            foreach (ref readonly DatagramTrain train in output.Trains) trains.Add(Take(output, train));
        }
        return new EgressTrialResult(trains, TrialBytes.Frames(answers), counters);
    }

    private static TrialTrain Take(SendBatch batch, in DatagramTrain train)
    {
        byte[] bytes = TrialBytes.Gather(batch.Slices(train), train.Length);
        bool isWhole = train.Kind == TrainKind.TunnelSuperPacket || train.SegmentSize == 0;
        return new TrialTrain(train, isWhole ? [bytes] : [.. bytes.Chunk(train.SegmentSize)]);
    }
}

/// <summary>Copies out of the memory of a trial.</summary>
internal static class TrialBytes
{
    public static byte[] Gather(ReadOnlySpan<BufferSlice> slices, int length)
    {
        byte[] bytes = new byte[length];
        int at = 0;
        foreach (BufferSlice slice in slices)
        {
            Marshal.Copy(slice.Address, bytes, at, (int)slice.Length);
            at += (int)slice.Length;
        }
        return bytes;
    }

    public static List<byte[]> Frames(GatherBatch batch)
    {
        var frames = new List<byte[]>();
        foreach (ref readonly GatheredFrame frame in batch.Frames) frames.Add(Gather(batch.Slices(frame), frame.Length));
        return frames;
    }
}
