namespace Overlay.Dataplane.Observation;

/// <summary>
/// Packets on their way from one worker to one capture: bounded, and never waited for. One thread writes, one reads. What finds no room is
/// counted as lost.
/// </summary>
public sealed class CaptureQueue
{
    private readonly PacketRecord[] _records;
    private readonly long[] _ends;
    private readonly byte[] _bytes;
    private readonly int _snapLength;
    private long _written;
    private long _read;
    private long _bytesWritten;
    private long _bytesRead;
    private long _reservedEnd;
    private int _reservedKept;
    private bool _isReserved;
    private long _lostInner;
    private long _lostOuter;

    /// <param name="filter">What is wanted.</param>
    /// <param name="snapLength">Most bytes kept of a packet.</param>
    /// <param name="records">Most packets in it.</param>
    /// <param name="bytes">Most bytes in it; more than <paramref name="snapLength"/>.</param>
    public CaptureQueue(CaptureFilter filter, int snapLength, int records, int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(bytes, snapLength);
        Filter = filter;
        _snapLength = snapLength;
        _records = new PacketRecord[records];
        _ends = new long[records];
        _bytes = new byte[bytes];
    }

    public CaptureFilter Filter { get; }

    /// <summary>Inner packets that were wanted and found no room.</summary>
    public long LostInner => Volatile.Read(ref _lostInner);

    /// <summary>Outer packets that were wanted and found no room.</summary>
    public long LostOuter => Volatile.Read(ref _lostOuter);

    /// <summary>For the worker: true while a packet that was reserved is to be committed or given up.</summary>
    internal bool IsReserved => _isReserved;

    /// <summary>For the worker: the room of the packet that is reserved.</summary>
    internal Span<byte> Reserved => _bytes.AsSpan((int)((_reservedEnd - _reservedKept) % _bytes.Length), _reservedKept);

    /// <summary>For the worker: room for a packet's bytes, which it fills; empty where there is none, or nothing is kept.</summary>
    /// <returns>False: the packet is lost.</returns>
    internal bool TryReserve(int length, ObservedAt at, out Span<byte> room)
    {
        room = default;
        int kept = Math.Min(length, _snapLength);
        int place = (int)(_bytesWritten % _bytes.Length);
        long start = _bytesWritten;
        if (place + kept > _bytes.Length)
        {
            start += _bytes.Length - place;
            place = 0;
        }
        if (_written - Volatile.Read(ref _read) == _records.Length || start + kept - Volatile.Read(ref _bytesRead) > _bytes.Length)
        {
            ref long lost = ref at == ObservedAt.Inner ? ref _lostInner : ref _lostOuter;
            Volatile.Write(ref lost, lost + 1);
            return false;
        }
        (_reservedKept, _reservedEnd, _isReserved) = (kept, start + kept, true);
        room = _bytes.AsSpan(place, kept);
        return true;
    }

    /// <summary>For the worker: hands on the packet that was reserved.</summary>
    internal void Commit(in PacketRecord record)
    {
        int slot = (int)(_written % _records.Length);
        _records[slot] = record;
        _records[slot].Kept = _reservedKept;
        _ends[slot] = _reservedEnd;
        _bytesWritten = _reservedEnd;
        _isReserved = false;
        Volatile.Write(ref _written, _written + 1);
    }

    /// <summary>For the worker: gives the packet up that was reserved.</summary>
    internal void Abandon() => _isReserved = false;

    /// <summary>For the reader: the next packet, which stays until <see cref="Release"/>.</summary>
    /// <returns>False: there is none now.</returns>
    public bool TryPeek(out PacketRecord record, out ReadOnlySpan<byte> bytes)
    {
        record = default;
        bytes = default;
        if (Volatile.Read(ref _written) == _read) return false;
        int slot = (int)(_read % _records.Length);
        record = _records[slot];
        bytes = _bytes.AsSpan((int)((_ends[slot] - record.Kept) % _bytes.Length), record.Kept);
        return true;
    }

    /// <summary>For the reader: it is done with the packet that <see cref="TryPeek"/> gave.</summary>
    public void Release()
    {
        int slot = (int)(_read % _records.Length);
        _records[slot] = default;
        Volatile.Write(ref _bytesRead, _ends[slot]);
        Volatile.Write(ref _read, _read + 1);
    }
}
