namespace Overlay.Dataplane.Observation;

/// <summary>
/// The latest packets of one worker, each overwriting the oldest. The worker never waits; a reader leaves out what is overwritten while it
/// looks.
/// </summary>
public sealed class PacketRing
{
    /// <summary>Bytes kept of a packet: tunnel and inner headers, and the start of what they carry.</summary>
    public const int SnapLength = 192;

    private readonly Slot[] _slots;
    private readonly byte[] _bytes;
    private int _next;

    /// <param name="capacity">Packets; 0: none is kept.</param>
    public PacketRing(int capacity)
    {
        _slots = new Slot[capacity];
        _bytes = new byte[capacity * SnapLength];
    }

    public int Capacity => _slots.Length;

    /// <summary>For the worker: begins the next slot and gives room for a packet's bytes, which it fills.</summary>
    internal Span<byte> Begin(int length)
    {
        ref Slot slot = ref _slots[_next];
        // Odd while it is written.
        slot.Version |= 1;
        Volatile.WriteBarrier();
        return _bytes.AsSpan(_next * SnapLength, Math.Min(length, SnapLength));
    }

    /// <summary>For the worker: ends the slot that was begun.</summary>
    internal void Commit(in PacketRecord record)
    {
        ref Slot slot = ref _slots[_next];
        slot.Record = record;
        slot.Record.Kept = Math.Min(record.Length, SnapLength);
        Volatile.Write(ref slot.Version, (slot.Version | 1) + 1);
        _next = _next + 1 == _slots.Length ? 0 : _next + 1;
    }

    /// <summary>Adds what the ring holds to a list, in no order.</summary>
    public void CopyTo(List<(PacketRecord Record, byte[] Bytes)> list)
    {
        for (int i = 0; i < _slots.Length; i++)
        {
            ref Slot slot = ref _slots[i];
            int version = Volatile.Read(ref slot.Version);
            if (version == 0 || (version & 1) != 0) continue;
            PacketRecord record = slot.Record;
            byte[] bytes = _bytes.AsSpan(i * SnapLength, Math.Clamp(record.Kept, 0, SnapLength)).ToArray();
            Volatile.ReadBarrier();
            if (Volatile.Read(ref slot.Version) == version) list.Add((record, bytes));
        }
    }

    private struct Slot
    {
        public int Version;
        public PacketRecord Record;
    }
}
