using Overlay.Dataplane.Forwarding;

namespace Overlay.Dataplane.Buffers;

/// <summary>How a train leaves.</summary>
public enum TrainKind : byte
{
    /// <summary>
    /// Slices hold tunnel headers and inner frames: UDP payloads, cut by the kernel at <see cref="DatagramTrain.SegmentSize"/>.
    /// </summary>
    Datagrams,

    /// <summary>
    /// Slices hold a tunnel virtio-net header, the outer Ethernet, IP and UDP headers, the tunnel header and one inner super-packet, which
    /// the kernel segments inside the tunnel.
    /// </summary>
    TunnelSuperPacket,
}

/// <summary>What became of a train.</summary>
public enum SendOutcome : byte
{
    Sent,

    /// <summary>The socket or device had no room (EAGAIN, ENOBUFS).</summary>
    QueueFull,

    /// <summary>A datagram is larger than the way to the peer allows (EMSGSIZE).</summary>
    TooBig,

    /// <summary>No route to the peer, or the interface is down (ENETUNREACH, EHOSTUNREACH, ENETDOWN).</summary>
    Unreachable,

    /// <summary>Any other refusal by the kernel.</summary>
    Refused,
}

/// <summary>
/// One send: datagrams of equal length (the last may be shorter) to one peer from one source port, alike in traffic class. UDP datagrams, or
/// IP packets behind an outer IP header.
/// </summary>
public struct DatagramTrain
{
    /// <summary>No tunnel encapsulation limit is written.</summary>
    public const short NoLimit = -1;

    public Peer Peer;
    public TrainKind Kind;
    public SendOutcome Outcome;

    /// <summary>IPv4 TOS or IPv6 traffic class of the outer header, ECN included.</summary>
    public byte TrafficClass;

    /// <summary>Outer TTL or hop limit; 0: the one that the underlay was given.</summary>
    public byte TimeToLive;

    /// <summary>
    /// The outer packets may be fragmented: they carry IPv6 of no more than 1280 bytes, which the path does not carry whole (RFC 2473, 7.1).
    /// </summary>
    public bool MayFragment;

    /// <summary>IP protocol of the outer packets where they are not UDP: 4 or 41 (RFC 2003, 4213). 0 for UDP.</summary>
    public byte Protocol;

    /// <summary>Tunnel encapsulation limit to write in the outer IPv6 packets (RFC 2473, 4.1.1), or <see cref="NoLimit"/>.</summary>
    public short EncapsulationLimit;

    /// <summary>Index into the underlay's source ports.</summary>
    public ushort SourcePortIndex;

    /// <summary>UDP payload bytes of each datagram; 0 when the train is a single datagram.</summary>
    public ushort SegmentSize;

    public int FirstSlice;
    public int SliceCount;

    /// <summary>Bytes of all slices together.</summary>
    public int Length;

    /// <summary>Inner packets carried, for accounting.</summary>
    public int Packets;

    /// <summary>Inner bytes carried, for accounting: what follows the tunnel headers, after segmentation.</summary>
    public long InnerBytes;

    /// <summary>Super-packets that went into it, for accounting.</summary>
    public int SuperPackets;
}

/// <summary>
/// Trains for the underlay, in order, and the slices they are made of. Any train can grow until <see cref="Seal"/>, which brings each
/// train's slices together for the kernel. Slices stay their owner's until the batch is cleared.
/// </summary>
public sealed class SendBatch
{
    private readonly DatagramTrain[] _trains;
    private readonly ushort[] _owners;
    private readonly int[] _lastSlices;
    private BufferSlice[] _slices;
    private BufferSlice[] _grouped;
    private bool _interleaved;

    /// <param name="trainCapacity">Most trains, at most 65,535.</param>
    /// <param name="sliceCapacity">Most slices of all trains together.</param>
    public SendBatch(int trainCapacity, int sliceCapacity)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(trainCapacity, ushort.MaxValue);
        _trains = new DatagramTrain[trainCapacity];
        _lastSlices = new int[trainCapacity];
        _owners = new ushort[sliceCapacity];
        _slices = GC.AllocateArray<BufferSlice>(sliceCapacity, pinned: true);
        _grouped = GC.AllocateArray<BufferSlice>(sliceCapacity, pinned: true);
    }

    public int Count { get; private set; }

    public int SliceCount { get; private set; }

    public int FreeTrains => _trains.Length - Count;

    public int FreeSlices => _slices.Length - SliceCount;

    public Span<DatagramTrain> Trains => _trains.AsSpan(0, Count);

    /// <summary>The slices of a train, in order. The batch must be sealed if trains other than the last have grown.</summary>
    public ReadOnlySpan<BufferSlice> Slices(in DatagramTrain train) => _slices.AsSpan(train.FirstSlice, train.SliceCount);

    /// <summary>Appends an empty train; its index is <see cref="Count"/> − 1 then.</summary>
    public ref DatagramTrain Add(Peer peer, TrainKind kind)
    {
        ref DatagramTrain train = ref _trains[Count++];
        train = new DatagramTrain { Peer = peer, Kind = kind, FirstSlice = SliceCount, EncapsulationLimit = DatagramTrain.NoLimit };
        return ref train;
    }

    /// <summary>Appends a slice to the last train.</summary>
    public void AddSlice(BufferSlice slice) => AddSlice(Count - 1, slice);

    /// <summary>Appends a slice to a train, joining it to the train's last one where they touch in memory.</summary>
    public void AddSlice(int index, BufferSlice slice)
    {
        ref DatagramTrain train = ref _trains[index];
        train.Length += (int)slice.Length;
        if (train.SliceCount > 0)
        {
            ref BufferSlice last = ref _slices[_lastSlices[index]];
            if (last.Address + last.Length == slice.Address)
            {
                last = new BufferSlice(last.Address, last.Length + slice.Length);
                return;
            }
        }
        _interleaved |= index != Count - 1;
        _lastSlices[index] = SliceCount;
        _owners[SliceCount] = (ushort)index;
        _slices[SliceCount++] = slice;
        train.SliceCount++;
    }

    /// <summary>
    /// Ends the growth: groups the slices by train if they came interleaved. Done before the batch is handed to an underlay.
    /// </summary>
    public void Seal()
    {
        if (!_interleaved) return;
        int next = 0;
        for (int i = 0; i < Count; i++)
        {
            _trains[i].FirstSlice = _lastSlices[i] = next;
            next += _trains[i].SliceCount;
        }
        for (int i = 0; i < SliceCount; i++) _grouped[_lastSlices[_owners[i]]++] = _slices[i];
        (_slices, _grouped) = (_grouped, _slices);
        _interleaved = false;
    }

    public void Clear()
    {
        Array.Clear(_trains, 0, Count);
        Count = SliceCount = 0;
        _interleaved = false;
    }
}
