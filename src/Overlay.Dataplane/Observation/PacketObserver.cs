using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Offload;

namespace Overlay.Dataplane.Observation;

/// <summary>
/// Keeps what a worker's packets were and what became of them: for captures that run, and in two rings that always run, one of the latest few
/// packets of each batch, one of everything that was dropped. The worker's thread calls it; nothing waits, and nothing is allocated.
/// </summary>
/// <remarks>
/// Bytes are taken before the paths rewrite them, and kept once it is known what became of the packet. While nobody captures, a batch costs
/// one read of a field and the few packets for the ring. A packet that no filter wants costs the comparison: nothing of it is copied or noted.
/// </remarks>
public sealed partial class PacketObserver
{
    /// <summary>Packets of a batch that go to the ring.</summary>
    private const int RecentOfBatch = 4;

    private volatile Rings _rings;
    private PacketRing _recent;
    private PacketRing _dropped;
    private volatile CaptureQueue[] _captures = [];
    private CaptureQueue[] _active = [];
    private int _recentFrom;
    private bool _isRecent;
    private bool _wantsMoreThanDrops;
    private int _taken;
    private long _time;

    /// <param name="ringCapacity">Packets that each of the two rings keeps; 0: there are none.</param>
    public PacketObserver(int ringCapacity)
    {
        _rings = new Rings(new PacketRing(ringCapacity), new PacketRing(ringCapacity));
        (_recent, _dropped) = _rings;
    }

    /// <summary>Packets that each of the two rings keeps. Any thread may change it; what they held is forgotten then.</summary>
    public int RingCapacity
    {
        get => _rings.Recent.Capacity;
        set
        {
            if (value != RingCapacity) _rings = new Rings(new PacketRing(value), new PacketRing(value));
        }
    }

    /// <summary>The captures that run. Any thread may exchange the list; a queue that was taken out may get the rest of a batch.</summary>
    public IReadOnlyList<CaptureQueue> Captures
    {
        get => _captures;
        set => _captures = [.. value];
    }

    /// <summary>What the rings hold, in the order of time. Any thread may call it.</summary>
    public List<(PacketRecord Record, byte[] Bytes)> Recent()
    {
        var list = new List<(PacketRecord Record, byte[] Bytes)>();
        Rings rings = _rings;
        rings.Recent.CopyTo(list);
        rings.Dropped.CopyTo(list);
        return [.. list.OrderBy(each => each.Record.Time)];
    }

    /// <summary>Begins a batch.</summary>
    /// <param name="count">Packets, or trains, in it.</param>
    /// <returns>Index of the first that is to be shown whatever becomes of it; what is dropped is to be shown always.</returns>
    internal int Begin(int count)
    {
        _active = _captures;
        (_recent, _dropped) = _rings;
        _time = 0;
        _recentFrom = _recent.Capacity == 0 ? count : Math.Max(count - RecentOfBatch, 0);
        _wantsMoreThanDrops = false;
        foreach (CaptureQueue capture in _active) _wantsMoreThanDrops |= !capture.Filter.DroppedOnly;
        return _wantsMoreThanDrops ? 0 : _recentFrom;
    }

    /// <summary>True while captures run that may want any packet, so that each counts.</summary>
    internal bool IsCapturing => _wantsMoreThanDrops;

    /// <summary>A frame of the device is about to be taken.</summary>
    /// <param name="index">In the batch.</param>
    /// <param name="offload">Tells how far the headers reach that may be rewritten.</param>
    /// <returns>True when the outcome is to be told by <see cref="Settle"/>.</returns>
    internal bool Arrive(int index, ReadOnlySpan<byte> frame, in VirtioNetHeader offload, Segment segment)
    {
        bool isAwaited = TakeRecent(frame, index >= _recentFrom);
        if (!_wantsMoreThanDrops) return isAwaited;
        // For whom it is will be known later, and what headers carry is then still as it was.
        _taken = Math.Min(frame.Length, Math.Max(HeadLength, offload.ChecksumStart + offload.ChecksumOffset + sizeof(ushort)));
        foreach (CaptureQueue capture in _active)
        {
            if (!Wants(capture, segment, ObservedAt.Inner) || !capture.Filter.TakesFrame(frame, 0)) continue;
            if (!capture.TryReserve(frame.Length, ObservedAt.Inner, out Span<byte> room)) continue;
            frame[..Math.Min(_taken, room.Length)].CopyTo(room);
            isAwaited = true;
        }
        return isAwaited;
    }

    /// <summary>A datagram of the underlay is about to be taken.</summary>
    /// <returns>True when the outcome is to be told by <see cref="Settle"/>.</returns>
    internal bool ArriveDatagram(int index, ReadOnlySpan<byte> datagram, in InnerPart inner, Segment? segment, Peer? peer, UInt128 remote)
    {
        bool isAwaited = TakeRecent(datagram, index >= _recentFrom);
        if (!_wantsMoreThanDrops) return isAwaited;
        _taken = datagram.Length;
        foreach (CaptureQueue capture in _active)
        {
            if (!Wants(capture, segment, ObservedAt.Outer) || !capture.Filter.TakesPeer(peer) || !inner.IsWanted(capture.Filter, datagram, remote)) continue;
            if (!capture.TryReserve(datagram.Length, ObservedAt.Outer, out Span<byte> room)) continue;
            datagram[..room.Length].CopyTo(room);
            isAwaited = true;
        }
        return isAwaited;
    }

    /// <summary>What was shown by an <c>Arrive</c> method has to wait, and will be shown again.</summary>
    internal void Cancel()
    {
        _isRecent = false;
        foreach (CaptureQueue capture in _active) capture.Abandon();
    }

    /// <summary>Tells what became of the packet that arrived last.</summary>
    /// <param name="bytes">Of it, where they came; headers may have been rewritten since.</param>
    internal void Settle(ref PacketRecord record, ReadOnlySpan<byte> bytes)
    {
        Stamp(ref record);
        // What was dropped goes to the ring of those.
        if (_isRecent && record.Verdict != PacketVerdict.Dropped) _recent.Commit(record);
        _isRecent = false;
        foreach (CaptureQueue capture in _active)
        {
            if (!capture.IsReserved) continue;
            if (!capture.Filter.TakesPeer(record.Peer))
            {
                capture.Abandon();
                continue;
            }
            Span<byte> room = capture.Reserved;
            if (room.Length > _taken) bytes[_taken..room.Length].CopyTo(room[_taken..]);
            capture.Commit(record);
        }
    }

    /// <summary>A packet is dropped whose bytes are as they came. Told beside <see cref="Settle"/> for the ring, and for captures of nothing else.</summary>
    internal void Drop(ref PacketRecord record, ReadOnlySpan<byte> bytes, in InnerPart inner)
    {
        Stamp(ref record);
        if (_dropped.Capacity > 0)
        {
            Span<byte> kept = _dropped.Begin(bytes.Length);
            bytes[..kept.Length].CopyTo(kept);
            _dropped.Commit(record);
        }
        foreach (CaptureQueue capture in _active)
        {
            CaptureFilter filter = capture.Filter;
            if (!filter.DroppedOnly || !Takes(filter, record.Segment, record.At) || !filter.TakesPeer(record.Peer)) continue;
            bool isWanted = record.At == ObservedAt.Inner ? filter.TakesFrame(bytes, 0) : inner.IsWanted(filter, bytes, record.Remote.Address);
            if (!isWanted || !capture.TryReserve(bytes.Length, record.At, out Span<byte> room)) continue;
            bytes[..room.Length].CopyTo(room);
            capture.Commit(record);
        }
    }

    private bool TakeRecent(ReadOnlySpan<byte> bytes, bool isRecent)
    {
        _isRecent = isRecent && _recent.Capacity > 0;
        if (!_isRecent) return false;
        Span<byte> kept = _recent.Begin(bytes.Length);
        bytes[..kept.Length].CopyTo(kept);
        return true;
    }

    /// <summary>What is dropped comes by <see cref="Drop"/> to captures that want only that: nothing is copied for them on suspicion.</summary>
    private static bool Wants(CaptureQueue capture, Segment? segment, ObservedAt at) => !capture.Filter.DroppedOnly && Takes(capture.Filter, segment, at);

    private static bool Takes(CaptureFilter filter, Segment? segment, ObservedAt at) => (filter.At is null || filter.At == at) && filter.TakesSegment(segment);

    private sealed record Rings(PacketRing Recent, PacketRing Dropped);

    /// <summary>One time a batch: that of its first packet that is kept.</summary>
    private void Stamp(ref PacketRecord record)
    {
        if (_time == 0) _time = DateTime.UtcNow.Ticks;
        record.Time = _time;
    }

    /// <summary>Bytes of a packet that lies in slices of either of two memories.</summary>
    /// <param name="slices">The whole packet, or train.</param>
    /// <param name="start">Bytes to leave out.</param>
    private static void Gather(ReadOnlySpan<BufferSlice> slices, int start, Span<byte> to, PacketMemory memory, PacketMemory other)
    {
        foreach (BufferSlice slice in slices)
        {
            if (to.IsEmpty) return;
            if (start >= slice.Length)
            {
                start -= (int)slice.Length;
                continue;
            }
            Span<byte> bytes = (memory.Contains(slice) ? memory : other).Span(slice)[start..];
            start = 0;
            int length = Math.Min(bytes.Length, to.Length);
            bytes[..length].CopyTo(to);
            to = to[length..];
        }
    }
}
