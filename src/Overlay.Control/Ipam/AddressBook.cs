using System.Net;
using Overlay.Wire;

namespace Overlay.Control.Ipam;

/// <summary>
/// Which addresses of this node's blocks are held, cool down or were never handed out. In memory, replayed from the journal; for one thread
/// at a time.
/// </summary>
internal sealed class AddressBook(BootClock clock, TimeSpan coolDown, int windowStep)
{
    /// <summary>Ranges of addresses that certainly go into a record of the journal.</summary>
    private const int RangesOfARecord = 40;

    private readonly List<HeldBlock> _blocks = [];
    private readonly Dictionary<UInt128, Lease> _leases = [];
    private readonly Dictionary<(string Owner, string Network, bool IsIPv6), UInt128> _owners = [];
    private readonly Dictionary<(string Network, bool IsIPv6), CoolingQueue> _cooling = [];
    private readonly Dictionary<UInt128, LinkedListNode<Cooling>> _coolingOf = [];
    private readonly Dictionary<(string Owner, string Network, bool IsIPv6), LinkedListNode<Cooling>> _coolingOfOwner = [];

    /// <summary>When the journal was first opened in this boot.</summary>
    private long _bootedAt;

    public sealed record Lease(HeldBlock Block, string Owner)
    {
        /// <summary>When it was first seen to be leaked; null: it is not.</summary>
        public long? SuspectSince { get; set; }
    }

    public IReadOnlyList<HeldBlock> Blocks => _blocks;

    public IReadOnlyDictionary<UInt128, Lease> Leases => _leases;

    public IEnumerable<HeldBlock> BlocksOf(string network, bool isIPv6) =>
        _blocks.Where(block => block.Network == network && block.IsIPv6 == isIPv6);

    public HeldBlock? Find(IPNetwork prefix) => _blocks.Find(block => block.Prefix.Equals(prefix));

    public UInt128? AddressOf(string network, bool isIPv6, string owner) =>
        _owners.TryGetValue((owner, network, isIPv6), out UInt128 address) ? address : null;

    public void Add(HeldBlock block) => _blocks.Add(block);

    /// <summary>Forgets a block of which no address is held.</summary>
    public void Remove(HeldBlock block)
    {
        _blocks.Remove(block);
        foreach (LinkedListNode<Cooling> node in _coolingOf.Values.Where(node => node.Value.Block == block).ToArray()) RemoveCooling(node);
    }

    /// <summary>Takes an address that is free now out of what can be handed out; null where there is none.</summary>
    /// <param name="extend">Told that a window is to be extended.</param>
    public (HeldBlock Block, UInt128 Address)? Take(string network, bool isIPv6, string owner, Action extend)
    {
        // The last owner may have its address again at once: nobody else has had it since.
        if (_coolingOfOwner.TryGetValue((owner, network, isIPv6), out LinkedListNode<Cooling>? last) && IsOffered(last.Value))
        {
            RemoveCooling(last);
            return (last.Value.Block, last.Value.Address);
        }
        foreach (HeldBlock block in BlocksOf(network, isIPv6))
        {
            if (block.IsReturning) continue;
            UInt128? address = block.TakeNew();
            if (block.Window < block.Size && block.Window - block.Next < windowStep / 2) extend();
            if (address is { } taken) return (block, taken);
        }
        if (QueueOf(network, isIPv6).Cooled().FirstOrDefault(node => IsOffered(node.Value)) is not { } cool) return null;
        RemoveCooling(cool);
        return (cool.Value.Block, cool.Value.Address);
    }

    /// <summary>Takes one certain address, which a block holds and nobody has; false while it cools down from another owner.</summary>
    /// <param name="isThere">Whether it is in use whatever is known of it.</param>
    public bool Take(HeldBlock block, UInt128 address, string? lastOwner, bool isThere = false)
    {
        if (!_coolingOf.TryGetValue(address, out LinkedListNode<Cooling>? node)) return block.TakeNew(address);
        if (!isThere && QueueOf(block).IsWarm(node.Value) && (lastOwner is null || node.Value.Owner != lastOwner)) return false;
        RemoveCooling(node);
        return true;
    }

    public HeldBlock? Find(string network, UInt128 address) => _blocks.Find(block => block.Network == network && block.Contains(address));

    public void Hold(HeldBlock block, UInt128 address, string owner)
    {
        _leases.Add(address, new Lease(block, owner));
        _owners.Add((owner, block.Network, block.IsIPv6), address);
        block.InUse++;
    }

    /// <summary>The address is held no more; it does not cool down yet.</summary>
    public Lease Drop(UInt128 address)
    {
        _leases.Remove(address, out Lease? lease);
        _owners.Remove((lease!.Owner, lease.Block.Network, lease.Block.IsIPv6));
        lease.Block.InUse--;
        return lease;
    }

    /// <param name="owner">Who may have it again at once; null: nobody.</param>
    public void Cool(HeldBlock block, UInt128 address, string? owner, long at)
    {
        LinkedListNode<Cooling> node = QueueOf(block).Add(new Cooling(block, address, owner, at));
        _coolingOf.Add(address, node);
        if (owner is not null) _coolingOfOwner[(owner, block.Network, block.IsIPv6)] = node;
    }

    /// <summary>Spares other addresses of a block. What is spared no more and was passed over cools down, as it may have been somebody's.</summary>
    /// <returns>What cools down from now on.</returns>
    public IReadOnlyList<UInt128> SetUnusable(HeldBlock block, IReadOnlySet<UInt128> addresses, long now)
    {
        IReadOnlySet<UInt128> before = block.Unusable;
        block.Unusable = addresses;
        UInt128[] spared =
        [
            .. before.Where(address => block.IsUsable(address) && block.IndexOf(address) < block.Next && !_leases.ContainsKey(address) && !_coolingOf.ContainsKey(address)),
        ];
        foreach (UInt128 address in spared) Cool(block, address, null, now);
        return spared;
    }

    /// <summary>Addresses of a network and family that anybody can have at once.</summary>
    public int Available(string network, bool isIPv6)
    {
        QueueOf(network, isIPv6).Look();
        int available = 0;
        foreach (HeldBlock block in _blocks)
        {
            if (block.Network == network && block.IsIPv6 == isIPv6 && !block.IsReturning) available += block.Available;
        }
        return available;
    }

    /// <summary>Addresses of a block, from a multiple of their number on, of which none is held, cools down or is spared; the last there are.</summary>
    public int? FreePart(HeldBlock block, int size)
    {
        CoolingQueue queue = QueueOf(block);
        // The first part holds the address that is the node's own.
        for (int first = block.Size - size; first >= size; first -= size)
        {
            if (Enumerable.Range(first, size).Select(block.At).All(address => block.IsUsable(address) && !_leases.ContainsKey(address)
                && !(_coolingOf.TryGetValue(address, out LinkedListNode<Cooling>? node) && queue.IsWarm(node.Value)))) return first;
        }
        return null;
    }

    /// <summary>Whether none of its addresses is held or cools down.</summary>
    public bool IsIdle(HeldBlock block)
    {
        QueueOf(block).Look();
        return block is { InUse: 0, Warm: 0 };
    }

    /// <summary>The state as records, for a journal that starts anew.</summary>
    public IEnumerable<JournalRecord> Records()
    {
        foreach (HeldBlock block in _blocks)
        {
            foreach (JournalRecord record in BlockRecords(block.Network, block.Prefix, block.Unusable)) yield return record;
            yield return new JournalRecord(JournalKind.Window) { Block = block.Prefix.ToString(), UpTo = block.Doubtful };
        }
        yield return BootRecord();
        foreach (HeldBlock block in _blocks)
        {
            yield return new JournalRecord(JournalKind.Window) { Block = block.Prefix.ToString(), UpTo = block.WindowAsked };
            if (block.IsReturning) yield return new JournalRecord(JournalKind.Suspended) { Block = block.Prefix.ToString() };
        }
        foreach ((UInt128 address, Lease lease) in _leases)
            yield return new JournalRecord(JournalKind.Allocated) { Address = IpBits.ToAddress(address).ToString(), Network = lease.Block.Network, Owner = lease.Owner };
        foreach (Cooling each in _cooling.Values.SelectMany(queue => queue.All)) yield return ReleaseRecord(each.Address, each.Owner, each.ReleasedAt);
    }

    public JournalRecord BootRecord() => new(JournalKind.Booted) { Boot = clock.Boot, At = _bootedAt };

    public JournalRecord ReleaseRecord(UInt128 address, string? owner, long at) =>
        new(JournalKind.Released) { Address = IpBits.ToAddress(address).ToString(), Owner = owner, Boot = clock.Boot, At = at };

    /// <summary>A block with what is spared of it: where that is much, in records before its own, which alone says that it is all.</summary>
    public static IEnumerable<JournalRecord> BlockRecords(string network, IPNetwork prefix, IReadOnlySet<UInt128> unusable)
    {
        string[][] parts = [.. AddressRanges.Write(unusable).Chunk(RangesOfARecord)];
        foreach (string[] part in parts.SkipLast(1)) yield return new JournalRecord(JournalKind.Spared) { Block = prefix.ToString(), Unusable = part };
        yield return new JournalRecord(JournalKind.Block) { Network = network, Block = prefix.ToString(), Unusable = parts.LastOrDefault() };
    }

    /// <returns>Whether this is the journal's first opening in this boot, so that it is to be marked.</returns>
    public bool Replay(List<JournalRecord> records)
    {
        long now = clock.Milliseconds;
        long? bootedAt = null;
        var released = new Dictionary<UInt128, JournalRecord>();
        var spared = new List<JournalRecord>();
        foreach (JournalRecord record in records)
        {
            switch (record.Kind)
            {
                case JournalKind.Spared:
                    // Of another block they are what is left of one that was not written to its end.
                    spared.RemoveAll(each => each.Block != record.Block);
                    spared.Add(record);
                    break;
                case JournalKind.Block:
                    HashSet<UInt128> unusable = [.. AddressRanges.Read(spared.Append(record).Where(each => each.Block == record.Block).SelectMany(each => each.Unusable ?? []))];
                    spared.Clear();
                    if (_blocks.Find(block => block.Prefix.ToString() == record.Block) is { } known)
                    {
                        known.Unusable = unusable;
                        known.IsReturning = known.IsReturnWritten = false;
                    }
                    else _blocks.Add(new HeldBlock(record.Network!, IPNetwork.Parse(record.Block!), unusable));
                    break;
                case JournalKind.Suspended:
                    HeldBlock suspended = _blocks.Find(block => block.Prefix.ToString() == record.Block)!;
                    suspended.IsReturning = suspended.IsReturnWritten = true;
                    break;
                case JournalKind.BlockGone:
                    _blocks.RemoveAll(block => block.Prefix.ToString() == record.Block);
                    break;
                case JournalKind.Window:
                    HeldBlock of = _blocks.Find(block => block.Prefix.ToString() == record.Block)!;
                    of.Window = of.WindowAsked = of.Next = record.UpTo;
                    break;
                case JournalKind.Booted:
                    bootedAt = record.Boot == clock.Boot ? record.At : null;
                    foreach (HeldBlock block in _blocks) block.Doubtful = block.Window;
                    break;
                case JournalKind.Confirmed:
                    // It is no address's.
                    break;
                case JournalKind.Allocated:
                    UInt128 address = IpBits.V6OrMapped(IPAddress.Parse(record.Address!));
                    released.Remove(address);
                    Hold(_blocks.Find(block => block.Contains(address))!, address, record.Owner!);
                    break;
                default:
                    UInt128 free = IpBits.V6OrMapped(IPAddress.Parse(record.Address!));
                    released[free] = record;
                    if (_leases.ContainsKey(free)) Drop(free);
                    break;
            }
        }
        _bootedAt = bootedAt ?? now;
        if (bootedAt is null)
        {
            foreach (HeldBlock block in _blocks) block.Doubtful = block.Window;
        }
        CoolWindows(released, now);
        return bootedAt is null;
    }

    /// <summary>
    /// Addresses of windows that nobody holds. Those that the journal may not know of, after a boot, count as released when it was first opened in
    /// this boot. Since then it is complete: one that it does not name was never handed out.
    /// </summary>
    private void CoolWindows(Dictionary<UInt128, JournalRecord> released, long now)
    {
        var cooling = new List<Cooling>();
        foreach (HeldBlock block in _blocks)
        {
            for (int i = 0; i < block.Window; i++)
            {
                UInt128 address = block.At(i);
                if (_leases.ContainsKey(address)) continue;
                JournalRecord? record = released.GetValueOrDefault(address);
                long at = record?.Boot == clock.Boot ? Math.Min(record.At, now)
                    : i < block.Doubtful ? _bootedAt
                    : now - (long)coolDown.TotalMilliseconds;
                cooling.Add(new Cooling(block, address, record?.Owner, at));
            }
        }
        foreach (Cooling each in cooling.OrderBy(each => each.ReleasedAt)) Cool(each.Block, each.Address, each.Owner, each.ReleasedAt);
    }

    private static bool IsOffered(Cooling released) => !released.Block.IsReturning && released.Block.IsUsable(released.Address);

    private CoolingQueue QueueOf(HeldBlock block) => QueueOf(block.Network, block.IsIPv6);

    private CoolingQueue QueueOf(string network, bool isIPv6)
    {
        if (!_cooling.TryGetValue((network, isIPv6), out CoolingQueue? queue)) _cooling.Add((network, isIPv6), queue = new CoolingQueue(clock, coolDown));
        return queue;
    }

    private void RemoveCooling(LinkedListNode<Cooling> node)
    {
        Cooling released = node.Value;
        QueueOf(released.Block).Remove(node);
        _coolingOf.Remove(released.Address);
        if (released.Owner is null) return;
        var owner = (released.Owner, released.Block.Network, released.Block.IsIPv6);
        if (_coolingOfOwner.TryGetValue(owner, out LinkedListNode<Cooling>? last) && last == node) _coolingOfOwner.Remove(owner);
    }
}
