using System.Net;
using System.Net.Sockets;
using Overlay.Wire;

namespace Overlay.Control.Ipam;

/// <summary>
/// Hands out the addresses of this node's blocks, from memory. Used by any thread.
/// </summary>
/// <remarks>
/// No allocation waits for the disk, but once every 4 MB of journal while it is rewritten; and still no crash makes it hand out an address
/// twice:
/// <list type="bullet">
/// <item>An allocation is written to the journal before it is answered. It is then in the kernel's hands, so a crash of this process loses
/// nothing. A background flush follows within milliseconds.</item>
/// <item>A crash of the host may lose what was not flushed. Therefore an address that was never handed out is only taken from a
/// <em>window</em> that is on the disk already, extended in the background ahead of need. After a boot, every address inside a window that
/// the journal does not show as allocated counts as just released: it cools down. Addresses beyond the window are certainly new.</item>
/// <item>A released address cools down on a clock that runs from the boot and that nobody sets.</item>
/// </list>
/// </remarks>
public sealed class NodeAllocator : IDisposable
{
    private const int WindowStep = 32;
    private const long CompactAt = 4 << 20;

    private static readonly TimeSpan FlushInterval = TimeSpan.FromMilliseconds(5);

    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly NodeAllocatorOptions _options;
    private readonly BootClock _clock;
    private readonly AllocationJournal _journal;
    private readonly List<HeldBlock> _blocks = [];
    private readonly Dictionary<UInt128, Lease> _leases = [];
    private readonly Dictionary<(string Owner, string Network, bool IsIPv6), UInt128> _owners = [];
    private readonly LinkedList<Cooling> _cooling = [];
    private readonly Dictionary<UInt128, LinkedListNode<Cooling>> _coolingOf = [];
    private readonly AutoResetEvent _wake = new(false);
    private readonly Thread _flusher;
    private volatile bool _stopping;
    private bool _dirty;
    private volatile JournalException? _failure;

    /// <exception cref="JournalException">The journal cannot be opened or is damaged.</exception>
    public NodeAllocator(NodeAllocatorOptions options, TimeProvider? time = null)
    {
        _options = options;
        _clock = new BootClock(time ?? TimeProvider.System);
        _journal = AllocationJournal.Open(options.Journal, out List<JournalRecord> records);
        Replay(records);
        _flusher = new Thread(Flush) { Name = "ipam-journal", IsBackground = true };
        _flusher.Start();
    }

    private sealed record Lease(HeldBlock Block, string Owner)
    {
        /// <summary>When it was first seen to be leaked; null: it is not.</summary>
        public long? SuspectSince { get; set; }
    }

    private sealed record Cooling(HeldBlock Block, UInt128 Address, string? Owner, long ReleasedAt);

    /// <summary>An address as it is held.</summary>
    public readonly record struct Held(IPAddress Address, string Network, string Owner);

    public IReadOnlyList<Held> All
    {
        get
        {
            lock (_lock) return [.. _leases.Select(each => new Held(IpBits.ToAddress(each.Key), each.Value.Block.Network, each.Value.Owner))];
        }
    }

    public IReadOnlyList<IPNetwork> Blocks
    {
        get
        {
            lock (_lock) return [.. _blocks.Select(block => block.Prefix)];
        }
    }

    /// <summary>Takes a block that the controller leased to this node, or learns anew which addresses of it are spared.</summary>
    /// <param name="unusable">Addresses of it that are excluded or reserved.</param>
    public void AddBlock(string network, IPNetwork prefix, IReadOnlyCollection<IPAddress> unusable)
    {
        lock (_lock)
        {
            string[] spared = [.. unusable.Select(address => address.ToString())];
            if (_blocks.Find(each => each.Prefix.Equals(prefix)) is { } held)
            {
                if (held.Unusable.ToHashSet().SetEquals(spared)) return;
                Write(BlockRecord(held.Network, prefix, spared));
                held.SetUnusable(spared);
                return;
            }
            var block = new HeldBlock(network, prefix, spared);
            int window = Math.Min(WindowStep, block.Size);
            Write(BlockRecord(network, prefix, spared));
            // A block comes seldom, and its first window is on the disk before its first address is asked for.
            Write(new JournalRecord(JournalKind.Window) { Block = prefix.ToString(), UpTo = window });
            _journal.Flush();
            block.Window = block.WindowAsked = window;
            _blocks.Add(block);
        }
    }

    /// <summary>An address for an owner, or the one it has.</summary>
    public Allocation Allocate(string network, AddressFamily family, string owner)
    {
        bool isIPv6 = family == AddressFamily.InterNetworkV6;
        lock (_lock)
        {
            if (_owners.TryGetValue((owner, network, isIPv6), out UInt128 has)) return new(AllocationStatus.Unchanged, IpBits.ToAddress(has), null);
            if (_failure is { } failed) return new(AllocationStatus.JournalFailed, null, failed.Message);
            if (Take(network, isIPv6, owner) is not var (block, address))
                return new(
                    AllocationStatus.Exhausted, null,
                    $"no address of network '{network}' is free on this node: {_blocks.Count(each => each.Network == network && each.IsIPv6 == isIPv6)} blocks are in use or cool down");
            try
            {
                Write(new JournalRecord(JournalKind.Allocated) { Address = IpBits.ToAddress(address).ToString(), Network = network, Owner = owner });
            }
            catch (JournalException error)
            {
                Cool(block, address, null, _clock.Milliseconds);
                return new(AllocationStatus.JournalFailed, null, error.Message);
            }
            Hold(block, address, owner);
            return new(AllocationStatus.Allocated, IpBits.ToAddress(address), null);
        }
    }

    /// <summary>Gives an owner's addresses of a network back.</summary>
    /// <returns>How many there were.</returns>
    /// <exception cref="JournalException">The journal cannot be written; the address stays held.</exception>
    public int Release(string network, string owner)
    {
        lock (_lock)
        {
            int released = 0;
            foreach (bool isIPv6 in new[] { false, true })
            {
                if (!_owners.TryGetValue((owner, network, isIPv6), out UInt128 address)) continue;
                ReleaseAddress(address);
                released++;
            }
            return released;
        }
    }

    /// <summary>Free addresses that can be had now or after their cool-down.</summary>
    public int Free(string network, AddressFamily family)
    {
        lock (_lock) return BlocksOf(network, family == AddressFamily.InterNetworkV6).Where(block => !block.IsReturning).Sum(block => block.Size - block.InUse);
    }

    /// <summary>Whether another block should be asked for, ahead of need.</summary>
    public bool WantsBlock(string network, AddressFamily family) => Free(network, family) < _options.LowWater;

    /// <summary>
    /// A block that can be given back: none of its addresses is held or cools down, and without it the high-water mark is still reached.
    /// It hands out no more addresses; <see cref="RemoveBlock"/> follows when the controller has it.
    /// </summary>
    public IPNetwork? OfferIdleBlock(string network, AddressFamily family)
    {
        lock (_lock)
        {
            ExpireCooling();
            HeldBlock? idle = BlocksOf(network, family == AddressFamily.InterNetworkV6)
                .Where(block => block.InUse == 0 && !_coolingOf.Values.Any(node => node.Value.Block == block && !IsCool(node.Value)))
                .OrderByDescending(block => block.IsReturning).FirstOrDefault();
            if (idle is null || (!idle.IsReturning && Free(network, family) - idle.Size < _options.HighWater)) return null;
            idle.IsReturning = true;
            return idle.Prefix;
        }
    }

    /// <summary>Forgets a block that the controller took back.</summary>
    public void RemoveBlock(IPNetwork prefix)
    {
        lock (_lock)
        {
            if (_blocks.Find(block => block.Prefix.Equals(prefix)) is not { } block) return;
            if (block.InUse > 0) throw new InvalidOperationException($"{block.InUse} addresses of {prefix} are held");
            Write(new JournalRecord(JournalKind.BlockGone) { Block = prefix.ToString() });
            _blocks.Remove(block);
            foreach (LinkedListNode<Cooling> node in _coolingOf.Values.Where(node => node.Value.Block == block).ToArray()) RemoveCooling(node);
        }
    }

    /// <summary>
    /// Looks for leaks: addresses held for an owner that the runtime does not know, and that no interface has. One that is seen so in two
    /// looks, at least <see cref="NodeAllocatorOptions.LeakConfirmation"/> apart, and in all between them, is released.
    /// </summary>
    /// <param name="live">Addresses on interfaces of this node's workloads.</param>
    /// <param name="owners">Owners that the runtime lists.</param>
    /// <returns>What was released.</returns>
    public IReadOnlyList<Held> CollectLeaks(IReadOnlySet<IPAddress> live, IReadOnlySet<string> owners)
    {
        lock (_lock)
        {
            long now = _clock.Milliseconds;
            var leaked = new List<Held>();
            foreach ((UInt128 bits, Lease lease) in _leases.ToArray())
            {
                IPAddress address = IpBits.ToAddress(bits);
                if (live.Contains(address) || owners.Contains(lease.Owner)) lease.SuspectSince = null;
                else if (lease.SuspectSince is not { } since) lease.SuspectSince = now;
                else if (now - since >= (long)_options.LeakConfirmation.TotalMilliseconds)
                {
                    ReleaseAddress(bits);
                    leaked.Add(new Held(address, lease.Block.Network, lease.Owner));
                }
            }
            return leaked;
        }
    }

    public void Dispose()
    {
        _stopping = true;
        _wake.Set();
        _flusher.Join();
        _journal.Dispose();
        _wake.Dispose();
    }

    private IEnumerable<HeldBlock> BlocksOf(string network, bool isIPv6) =>
        _blocks.Where(block => block.Network == network && block.IsIPv6 == isIPv6);

    private (HeldBlock Block, UInt128 Address)? Take(string network, bool isIPv6, string owner)
    {
        // The last owner may have its address again at once: nobody else has had it since.
        for (LinkedListNode<Cooling>? node = _cooling.Last; node is not null; node = node.Previous)
        {
            Cooling last = node.Value;
            if (last.Owner != owner || last.Block.Network != network || last.Block.IsIPv6 != isIPv6 || last.Block.IsReturning || !last.Block.IsUsable(last.Address)) continue;
            RemoveCooling(node);
            return (last.Block, last.Address);
        }
        foreach (HeldBlock block in BlocksOf(network, isIPv6))
        {
            if (block.IsReturning) continue;
            UInt128? address = block.TakeNew();
            if (block.Window < block.Size && block.Window - block.Next < WindowStep / 2) _wake.Set();
            if (address is { } taken) return (block, taken);
        }
        for (LinkedListNode<Cooling>? node = _cooling.First; node is not null && IsCool(node.Value); node = node.Next)
        {
            Cooling cool = node.Value;
            if (cool.Block.Network != network || cool.Block.IsIPv6 != isIPv6 || cool.Block.IsReturning || !cool.Block.IsUsable(cool.Address)) continue;
            RemoveCooling(node);
            return (cool.Block, cool.Address);
        }
        return null;
    }

    private bool IsCool(Cooling each) => _clock.Milliseconds - each.ReleasedAt >= (long)_options.CoolDown.TotalMilliseconds;

    private void ExpireCooling()
    {
        // Cooled addresses stay in the list, which is the queue of those that can be used again; only their owners are forgotten.
        for (LinkedListNode<Cooling>? node = _cooling.First; node is not null && IsCool(node.Value); node = node.Next)
            node.Value = node.Value with { Owner = null };
    }

    private void Hold(HeldBlock block, UInt128 address, string owner)
    {
        _leases.Add(address, new Lease(block, owner));
        _owners.Add((owner, block.Network, block.IsIPv6), address);
        block.InUse++;
    }

    private void ReleaseAddress(UInt128 address)
    {
        Lease lease = _leases[address];
        long now = _clock.Milliseconds;
        Write(new JournalRecord(JournalKind.Released) { Address = IpBits.ToAddress(address).ToString(), Boot = _clock.Boot, At = now });
        Drop(address, lease);
        Cool(lease.Block, address, lease.Owner, now);
    }

    private void Drop(UInt128 address, Lease lease)
    {
        _leases.Remove(address);
        _owners.Remove((lease.Owner, lease.Block.Network, lease.Block.IsIPv6));
        lease.Block.InUse--;
    }

    private void Cool(HeldBlock block, UInt128 address, string? owner, long at) =>
        _coolingOf.Add(address, _cooling.AddLast(new Cooling(block, address, owner, at)));

    private void RemoveCooling(LinkedListNode<Cooling> node)
    {
        _coolingOf.Remove(node.Value.Address);
        _cooling.Remove(node);
    }

    private void Write(JournalRecord record)
    {
        _journal.Append(record);
        _dirty = true;
        _wake.Set();
    }

    private void Flush()
    {
        while (!_stopping)
        {
            _wake.WaitOne(_failure is null ? Timeout.InfiniteTimeSpan : RetryInterval);
            // Those who come within this time share a flush.
            if (!_stopping) Thread.Sleep(FlushInterval);
            FlushOnce();
        }
    }

    private void FlushOnce()
    {
        try
        {
            var windows = new List<HeldBlock>();
            lock (_lock)
            {
                // A flush that failed may have dropped what it could not write: everything is written anew.
                if (_failure is not null || _journal.Length > CompactAt) _journal.Replace(Records());
                foreach (HeldBlock block in _blocks)
                {
                    if (block.Window >= block.Size || block.Window - block.Next >= WindowStep / 2) continue;
                    block.WindowAsked = Math.Min(block.Window + WindowStep, block.Size);
                    Write(new JournalRecord(JournalKind.Window) { Block = block.Prefix.ToString(), UpTo = block.WindowAsked });
                    windows.Add(block);
                }
                if (!_dirty && _failure is null) return;
                _dirty = false;
            }
            _journal.Flush();
            lock (_lock)
            {
                _failure = null;
                foreach (HeldBlock block in windows) block.Window = block.WindowAsked;
            }
        }
        catch (JournalException error)
        {
            // Allocations are refused, with this reason, until the disk takes it.
            _failure = error;
        }
    }

    private static JournalRecord BlockRecord(string network, IPNetwork prefix, string[] unusable) => new(JournalKind.Block)
    {
        Network = network,
        Block = prefix.ToString(),
        Unusable = unusable.Length > 0 ? unusable : null,
    };

    /// <summary>The state as records, for a journal that starts anew.</summary>
    private IEnumerable<JournalRecord> Records()
    {
        foreach (HeldBlock block in _blocks)
        {
            yield return BlockRecord(block.Network, block.Prefix, [.. block.Unusable]);
            yield return new JournalRecord(JournalKind.Window) { Block = block.Prefix.ToString(), UpTo = block.WindowAsked };
        }
        foreach ((UInt128 address, Lease lease) in _leases)
            yield return new JournalRecord(JournalKind.Allocated) { Address = IpBits.ToAddress(address).ToString(), Network = lease.Block.Network, Owner = lease.Owner };
        foreach (Cooling each in _cooling)
            yield return new JournalRecord(JournalKind.Released) { Address = IpBits.ToAddress(each.Address).ToString(), Boot = _clock.Boot, At = each.ReleasedAt };
    }

    private void Replay(List<JournalRecord> records)
    {
        long now = _clock.Milliseconds;
        var released = new Dictionary<UInt128, JournalRecord>();
        foreach (JournalRecord record in records)
        {
            switch (record.Kind)
            {
                case JournalKind.Block:
                    if (_blocks.Find(block => block.Prefix.ToString() == record.Block) is { } known) known.SetUnusable(record.Unusable ?? []);
                    else _blocks.Add(new HeldBlock(record.Network!, IPNetwork.Parse(record.Block!), record.Unusable ?? []));
                    break;
                case JournalKind.BlockGone:
                    _blocks.RemoveAll(block => block.Prefix.ToString() == record.Block);
                    break;
                case JournalKind.Window:
                    HeldBlock of = _blocks.Find(block => block.Prefix.ToString() == record.Block)!;
                    of.Window = of.WindowAsked = of.Next = record.UpTo;
                    break;
                case JournalKind.Allocated:
                    UInt128 address = IpBits.V6OrMapped(IPAddress.Parse(record.Address!));
                    released.Remove(address);
                    Hold(_blocks.Find(block => block.Contains(address))!, address, record.Owner!);
                    break;
                default:
                    UInt128 free = IpBits.V6OrMapped(IPAddress.Parse(record.Address!));
                    released[free] = record;
                    if (_leases.TryGetValue(free, out Lease? lease)) Drop(free, lease);
                    break;
            }
        }
        CoolWindows(released, now);
    }

    /// <summary>
    /// Addresses of windows that nobody holds. Within a boot the journal is complete, so one that it does not name was never handed out;
    /// after a boot it counts as released now.
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
                long at = released.TryGetValue(address, out JournalRecord? record) && record.Boot == _clock.Boot ? Math.Min(record.At, now) : now;
                cooling.Add(new Cooling(block, address, null, at));
            }
        }
        foreach (Cooling each in cooling.OrderBy(each => each.ReleasedAt)) Cool(each.Block, each.Address, null, each.ReleasedAt);
    }
}
