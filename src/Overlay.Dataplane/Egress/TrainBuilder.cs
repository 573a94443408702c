using Overlay.Dataplane.Buffers;

namespace Overlay.Dataplane.Egress;

/// <summary>
/// Lines datagrams up in trains. One train a source port stays open, so that interleaved flows each fill their own, and what follows in one
/// flow can never overtake: a train that ends is followed by a later one of the batch.
/// </summary>
internal sealed class TrainBuilder(int sourcePorts)
{
    /// <summary>Most UDP payload bytes of a send: what an IPv4 packet of 65,535 bytes carries.</summary>
    public const int MaxLength = 65_507;

    /// <summary>Most datagrams of a send: UDP_MAX_SEGMENTS of the oldest kernels.</summary>
    public const int MaxDatagrams = 64;

    // Train index + 1 by source port; 0 where none is open.
    private readonly int[] _open = new int[sourcePorts];

    /// <summary>Index of the train that was placed into last.</summary>
    public int Latest { get; private set; }

    /// <summary>Starts on an empty batch.</summary>
    public void Begin() => Array.Clear(_open);

    /// <summary>Trains that <paramref name="count"/> datagrams of one length need at most.</summary>
    public static int TrainsFor(int count, int length) => (count / Math.Clamp(MaxLength / length, 1, MaxDatagrams)) + 1;

    /// <summary>Finds or opens the train for a datagram and books it there; the caller appends its slices.</summary>
    /// <param name="batch">Has a free train.</param>
    /// <param name="flow">Where the datagram goes.</param>
    /// <param name="length">UDP payload bytes, at most <see cref="MaxLength"/>.</param>
    /// <param name="innerLength">Bytes of the inner frame.</param>
    /// <returns>Index of the train.</returns>
    public int Place(SendBatch batch, in OuterFlow flow, int length, int innerLength)
    {
        ref int open = ref _open[flow.SourcePortIndex];
        if (open > 0)
        {
            ref DatagramTrain train = ref batch.Trains[open - 1];
            if (Takes(train, flow, length))
            {
                if (train.Packets == 1) train.SegmentSize = (ushort)train.Length;
                train.Packets++;
                train.InnerBytes += innerLength;
                return Latest = open - 1;
            }
        }
        ref DatagramTrain opened = ref Open(batch, flow, TrainKind.Datagrams);
        opened.Packets = 1;
        opened.InnerBytes = innerLength;
        open = batch.Count;
        return Latest = open - 1;
    }

    /// <summary>Opens a train for one tunnel super-packet; the flow's next datagram starts a train behind it.</summary>
    public ref DatagramTrain PlaceSuperPacket(SendBatch batch, in OuterFlow flow)
    {
        _open[flow.SourcePortIndex] = 0;
        Latest = batch.Count;
        return ref Open(batch, flow, TrainKind.TunnelSuperPacket);
    }

    private static ref DatagramTrain Open(SendBatch batch, in OuterFlow flow, TrainKind kind)
    {
        ref DatagramTrain train = ref batch.Add(flow.Peer, kind);
        train.SourcePortIndex = flow.SourcePortIndex;
        train.TrafficClass = flow.TrafficClass;
        train.TimeToLive = flow.TimeToLive;
        train.MayFragment = flow.MayFragment;
        train.Protocol = flow.Protocol;
        train.EncapsulationLimit = flow.EncapsulationLimit;
        return ref train;
    }

    private static bool Takes(in DatagramTrain train, in OuterFlow flow, int length)
    {
        int size = train.Packets == 1 ? train.Length : train.SegmentSize;
        bool lastIsFull = train.Length == train.Packets * size;
        return length <= size && lastIsFull && train.Packets < MaxDatagrams && train.Length + length <= MaxLength
            && ((train.TrafficClass ^ flow.TrafficClass) | (train.TimeToLive ^ flow.TimeToLive) | (train.Protocol ^ flow.Protocol)) == 0
            && train.EncapsulationLimit == flow.EncapsulationLimit && train.MayFragment == flow.MayFragment && ReferenceEquals(train.Peer, flow.Peer);
    }
}
