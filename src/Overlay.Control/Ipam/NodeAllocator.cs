using System.Net;
using System.Net.Sockets;
using Overlay.Wire;

namespace Overlay.Control.Ipam;

/// <summary>
/// Hands out the addresses of this node's blocks, from memory. Used by any thread.
/// </summary>
/// <remarks>
/// No allocation waits for the disk, but once every 4 MB of journal while it is rewritten, and where a burst or a certain address goes beyond the
/// window below; and still no crash makes it hand out an address
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
    private readonly AddressBook _book;
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
        _book = new AddressBook(_clock, options.CoolDown, WindowStep);
        _book.Replay(records);
        _flusher = new Thread(Flush) { Name = "ipam-journal", IsBackground = true };
        _flusher.Start();
    }

    /// <summary>An address as it is held.</summary>
    public readonly record struct Held(IPAddress Address, string Network, string Owner);

    public IReadOnlyList<Held> All
    {
        get
        {
            lock (_lock) return [.. _book.Leases.Select(each => new Held(IpBits.ToAddress(each.Key), each.Value.Block.Network, each.Value.Owner))];
        }
    }

    /// <summary>A block as this node has it.</summary>
    /// <param name="InUse">Addresses of it that are held.</param>
    public readonly record struct BlockUse(string Network, IPNetwork Prefix, int Size, int InUse);

    public IReadOnlyList<BlockUse> BlocksInUse
    {
        get
        {
            lock (_lock) return [.. _book.Blocks.Select(block => new BlockUse(block.Network, block.Prefix, block.Size, block.InUse))];
        }
    }

    public IReadOnlyList<IPNetwork> Blocks
    {
        get
        {
            lock (_lock) return [.. _book.Blocks.Select(block => block.Prefix)];
        }
    }

    /// <summary>Takes a block that the controller leased to this node, or learns anew which addresses of it are spared.</summary>
    /// <param name="unusable">Addresses of it that are excluded or reserved.</param>
    public void AddBlock(string network, IPNetwork prefix, IReadOnlyCollection<IPAddress> unusable)
    {
        lock (_lock)
        {
            string[] spared = [.. unusable.Select(address => address.ToString())];
            if (_book.Find(prefix) is { } held)
            {
                if (held.Unusable.ToHashSet().SetEquals(spared)) return;
                Write(AddressBook.BlockRecord(held.Network, prefix, spared));
                held.SetUnusable(spared);
                return;
            }
            var block = new HeldBlock(network, prefix, spared);
            int window = Math.Min(WindowStep, block.Size);
            Write(AddressBook.BlockRecord(network, prefix, spared));
            // A block comes seldom, and its first window is on the disk before its first address is asked for.
            Write(new JournalRecord(JournalKind.Window) { Block = prefix.ToString(), UpTo = window });
            _journal.Flush();
            block.Window = block.WindowAsked = window;
            _book.Add(block);
        }
    }

    /// <summary>An address for an owner, or the one it has.</summary>
    public Allocation Allocate(string network, AddressFamily family, string owner)
    {
        bool isIPv6 = family == AddressFamily.InterNetworkV6;
        lock (_lock)
        {
            if (_book.AddressOf(network, isIPv6, owner) is { } has) return new(AllocationStatus.Unchanged, IpBits.ToAddress(has), null);
            if (_failure is { } failed) return new(AllocationStatus.JournalFailed, null, failed.Message);
            if ((_book.Take(network, isIPv6, owner, () => _wake.Set()) ?? TakeBeyondWindow(network, isIPv6, owner)) is not var (block, address))
                return new(
                    AllocationStatus.Exhausted, null,
                    $"no address of network '{network}' is free on this node: {_book.BlocksOf(network, isIPv6).Count()} blocks are in use or cool down");
            try
            {
                Write(new JournalRecord(JournalKind.Allocated) { Address = IpBits.ToAddress(address).ToString(), Network = network, Owner = owner });
            }
            catch (JournalException error)
            {
                _book.Cool(block, address, null, _clock.Milliseconds);
                return new(AllocationStatus.JournalFailed, null, error.Message);
            }
            _book.Hold(block, address, owner);
            return new(AllocationStatus.Allocated, IpBits.ToAddress(address), null);
        }
    }

    /// <summary>One certain address for an owner.</summary>
    /// <param name="lastOwner">Who may have been its last owner and counts as the same: it need not cool down then.</param>
    public Allocation AllocateAddress(string network, IPAddress address, string owner, string? lastOwner)
    {
        UInt128 bits = IpBits.V6OrMapped(address);
        lock (_lock)
        {
            if (_book.AddressOf(network, address.AddressFamily == AddressFamily.InterNetworkV6, owner) is { } has)
                return has == bits ? new(AllocationStatus.Unchanged, address, null) : new(AllocationStatus.Taken, null, $"{owner} has {IpBits.ToAddress(has)}");
            if (_failure is { } failed) return new(AllocationStatus.JournalFailed, null, failed.Message);
            if (_book.Find(network, bits) is not { IsReturning: false } block || !block.IsUsable(bits))
                return new(AllocationStatus.NotHere, null, $"{address} is none of the addresses that this node hands out");
            if (_book.Leases.TryGetValue(bits, out AddressBook.Lease? lease)) return new(AllocationStatus.Taken, null, $"{address} is held by {lease.Owner}");
            try
            {
                if (block.IndexOf(bits) >= block.Window) Extend(block, block.IndexOf(bits) + 1);
                if (!_book.Take(block, bits, lastOwner)) return new(AllocationStatus.Taken, null, $"{address} was another's a moment ago and cools down");
                Write(new JournalRecord(JournalKind.Allocated) { Address = address.ToString(), Network = network, Owner = owner });
            }
            catch (JournalException error)
            {
                return new(AllocationStatus.JournalFailed, null, error.Message);
            }
            _book.Hold(block, bits, owner);
            return new(AllocationStatus.Allocated, address, null);
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
                if (_book.AddressOf(network, isIPv6, owner) is not { } address) continue;
                ReleaseAddress(address);
                released++;
            }
            return released;
        }
    }

    /// <summary>Free addresses that can be had now or after their cool-down.</summary>
    public int Free(string network, AddressFamily family)
    {
        lock (_lock) return _book.BlocksOf(network, family == AddressFamily.InterNetworkV6).Where(block => !block.IsReturning).Sum(block => block.Size - block.InUse);
    }

    /// <summary>Whether another block should be asked for, ahead of need.</summary>
    public bool WantsBlock(string network, AddressFamily family) => Free(network, family) < _options.LowWater;

    /// <summary>
    /// A block that can be given back: none of its addresses is held or cools down, and without it the high-water mark is still reached.
    /// It hands out no more addresses; <see cref="RemoveBlock"/> follows when the controller has it.
    /// </summary>
    /// <param name="all">Whether the node is to keep no free addresses, as it is drained.</param>
    public IPNetwork? OfferIdleBlock(string network, AddressFamily family, bool all = false)
    {
        lock (_lock)
        {
            HeldBlock? idle = _book.BlocksOf(network, family == AddressFamily.InterNetworkV6).Where(_book.IsIdle)
                .OrderByDescending(block => block.IsReturning).FirstOrDefault();
            if (idle is null || (!idle.IsReturning && !all && Free(network, family) - idle.Size < _options.HighWater)) return null;
            idle.IsReturning = true;
            return idle.Prefix;
        }
    }

    /// <summary>Forgets a block that the controller took back.</summary>
    public void RemoveBlock(IPNetwork prefix)
    {
        lock (_lock)
        {
            if (_book.Find(prefix) is not { } block) return;
            if (block.InUse > 0) throw new InvalidOperationException($"{block.InUse} addresses of {prefix} are held");
            Write(new JournalRecord(JournalKind.BlockGone) { Block = prefix.ToString() });
            _book.Remove(block);
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
            foreach ((UInt128 bits, AddressBook.Lease lease) in _book.Leases.ToArray())
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

    private void ReleaseAddress(UInt128 address)
    {
        long now = _clock.Milliseconds;
        Write(new JournalRecord(JournalKind.Released) { Address = IpBits.ToAddress(address).ToString(), Boot = _clock.Boot, At = now });
        AddressBook.Lease lease = _book.Drop(address);
        _book.Cool(lease.Block, address, lease.Owner, now);
    }

    private void Write(JournalRecord record)
    {
        _journal.Append(record);
        _dirty = true;
        _wake.Set();
    }

    /// <summary>Where addresses are asked for faster than windows are written, whoever asks waits for the disk.</summary>
    private (HeldBlock Block, UInt128 Address)? TakeBeyondWindow(string network, bool isIPv6, string owner)
    {
        if (_book.BlocksOf(network, isIPv6).FirstOrDefault(block => !block.IsReturning && block.Window < block.Size) is not { } block) return null;
        try
        {
            Extend(block, block.Window + WindowStep);
        }
        catch (JournalException)
        {
            return null;
        }
        return _book.Take(network, isIPv6, owner, () => _wake.Set());
    }

    private void Extend(HeldBlock block, int upTo)
    {
        block.WindowAsked = Math.Min(Math.Max(upTo, block.WindowAsked), block.Size);
        Write(new JournalRecord(JournalKind.Window) { Block = block.Prefix.ToString(), UpTo = block.WindowAsked });
        _journal.Flush();
        block.Window = block.WindowAsked;
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
                if (_failure is not null || _journal.Length > CompactAt) _journal.Replace(_book.Records());
                foreach (HeldBlock block in _book.Blocks)
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
}
