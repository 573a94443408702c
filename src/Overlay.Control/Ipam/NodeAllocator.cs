using System.Net;
using System.Net.Sockets;
using Overlay.Wire;

namespace Overlay.Control.Ipam;

/// <summary>
/// Hands out the addresses of this node's blocks, from memory. Used by any thread.
/// </summary>
/// <remarks>
/// No allocation waits for the disk, but one that goes beyond the window below, by a burst or for a certain address; nobody else waits with it. And still no
/// crash makes it hand out an address twice:
/// <list type="bullet">
/// <item>An allocation is written to the journal before it is answered. It is then in the kernel's hands, so a crash of this process loses
/// nothing. A background flush follows within milliseconds.</item>
/// <item>A crash of the host may lose what was not flushed. Therefore an address that was never handed out is only taken from a
/// <em>window</em> that is on the disk already, extended in the background ahead of need. After a boot, every address inside a window that
/// the journal does not show as allocated counts as just released: it cools down. Addresses beyond the window are certainly new.</item>
/// <item>A released address cools down on a clock that runs from the boot and that nobody sets.</item>
/// <item>Blocks are changed in three steps: in memory and in the journal with the lock held, in such a way that nothing of what is not on the disk is handed out
/// yet; then the disk is waited for without the lock; then what waited for it counts.</item>
/// <item>Leased blocks go to others when controllers hear nothing of this node for long. Sooner than that it hands out no more of them.</item>
/// </list>
/// </remarks>
public sealed partial class NodeAllocator : IDisposable
{
    private readonly Lock _lock = new();
    private readonly NodeAllocatorOptions _options;
    private readonly BootClock _clock;
    private readonly AllocationJournal _journal;
    private readonly AddressBook _book;

    /// <summary>Addresses that are in use, of blocks that are not here.</summary>
    private readonly Dictionary<UInt128, (string Network, string Owner)> _expected = [];

    /// <exception cref="JournalException">The journal cannot be opened or is damaged.</exception>
    public NodeAllocator(NodeAllocatorOptions options, TimeProvider? time = null)
        : this(options, new BootClock(time ?? TimeProvider.System))
    {
    }

    internal NodeAllocator(NodeAllocatorOptions options, BootClock clock)
    {
        (_options, _clock) = (options, clock);
        _journal = AllocationJournal.Open(options.Journal, out List<JournalRecord> records);
        _book = new AddressBook(_clock, options.CoolDown, WindowStep);
        _confirmed = FindConfirmation(records);
        if (_book.Replay(records)) MarkBoot();
        _flusher = new Thread(Flush) { Name = "ipam-journal", IsBackground = true };
        _flusher.Start();
    }

    /// <summary>Raised by whoever allocates while addresses of some network run short. Handlers return at once.</summary>
    public event Action? BlockWanted;

    /// <summary>An address as it is held.</summary>
    public readonly record struct Held(IPAddress Address, string Network, string Owner);

    public IReadOnlyList<Held> All
    {
        get
        {
            lock (_lock) return [.. _book.Leases.Select(each => new Held(IpBits.ToAddress(each.Key), each.Value.Block.Network, each.Value.Owner))];
        }
    }

    /// <summary>An address for an owner, or the one it has.</summary>
    public Allocation Allocate(string network, AddressFamily family, string owner) => Told(AllocateAny(network, family, owner), network, family);

    private Allocation AllocateAny(string network, AddressFamily family, string owner)
    {
        bool isIPv6 = family == AddressFamily.InterNetworkV6;
        while (true)
        {
            WrittenWindow beyond;
            lock (_lock)
            {
                if (_book.AddressOf(network, isIPv6, owner) is { } has) return new(AllocationStatus.Unchanged, IpBits.ToAddress(has), null);
                if (_failure is { } failed) return new(AllocationStatus.JournalFailed, null, failed.Message);
                if (DoubtOf(_book.BlocksOf(network, isIPv6)) is { } doubt) return new(AllocationStatus.Unconfirmed, null, doubt);
                (HeldBlock Block, UInt128 Address)? taken = _book.Take(network, isIPv6, owner, () => _wake.Set());
                try
                {
                    if (taken is var (block, address))
                    {
                        Write(new JournalRecord(JournalKind.Allocated) { Address = IpBits.ToAddress(address).ToString(), Network = network, Owner = owner });
                        _book.Hold(block, address, owner);
                        return new(AllocationStatus.Allocated, IpBits.ToAddress(address), null);
                    }
                    if (WriteNextWindow(network, isIPv6) is not { } window)
                        return new(
                            AllocationStatus.Exhausted, null,
                            $"no address of network '{network}' is free on this node: {_book.BlocksOf(network, isIPv6).Count()} blocks are in use or cool down");
                    beyond = window;
                }
                catch (JournalException error)
                {
                    if (taken is var (free, unheld)) _book.Cool(free, unheld, null, _clock.Milliseconds);
                    return new(AllocationStatus.JournalFailed, null, error.Message);
                }
            }
            // Whoever outruns the disk waits for it alone, and looks again.
            if (Settle(beyond) is { } problem) return problem;
        }
    }

    /// <summary>One certain address for an owner.</summary>
    /// <param name="lastOwner">Who may have been its last owner and counts as the same: it need not cool down then.</param>
    public Allocation AllocateAddress(string network, IPAddress address, string owner, string? lastOwner) =>
        Told(AllocateCertain(network, address, owner, lastOwner, isThere: false), network, address.AddressFamily);

    /// <summary>
    /// Holds an address that is in use already, so that nobody gets it; one of a block that is not here is held when the block comes, unless its owner gives it
    /// back before.
    /// </summary>
    public void Keep(string network, IPAddress address, string owner)
    {
        if (AllocateCertain(network, address, owner, null, isThere: true).Status != AllocationStatus.NotHere) return;
        lock (_lock) _expected[IpBits.V6OrMapped(address)] = (network, owner);
    }

    private Allocation Told(Allocation allocation, string network, AddressFamily family)
    {
        if (allocation.Status is AllocationStatus.Allocated or AllocationStatus.Exhausted && WantsBlock(network, family)) BlockWanted?.Invoke();
        return allocation;
    }

    private Allocation AllocateCertain(string network, IPAddress address, string owner, string? lastOwner, bool isThere)
    {
        UInt128 bits = IpBits.V6OrMapped(address);
        while (true)
        {
            WrittenWindow beyond;
            lock (_lock)
            {
                if (_book.AddressOf(network, address.AddressFamily == AddressFamily.InterNetworkV6, owner) is { } has)
                    return has == bits ? new(AllocationStatus.Unchanged, address, null) : new(AllocationStatus.Taken, null, $"{owner} has {IpBits.ToAddress(has)}");
                if (_failure is { } failed) return new(AllocationStatus.JournalFailed, null, failed.Message);
                if (_book.Find(network, bits) is not { IsReturning: false } block || !block.IsUsable(bits))
                    return new(AllocationStatus.NotHere, null, $"{address} is none of the addresses that this node hands out");
                if (!isThere && DoubtOf([block]) is { } doubt) return new(AllocationStatus.Unconfirmed, null, doubt);
                if (_book.Leases.TryGetValue(bits, out AddressBook.Lease? lease)) return new(AllocationStatus.Taken, null, $"{address} is held by {lease.Owner}");
                bool isTaken = false;
                try
                {
                    if (block.IndexOf(bits) < block.Window)
                    {
                        isTaken = _book.Take(block, bits, lastOwner, isThere);
                        if (!isTaken) return new(AllocationStatus.Taken, null, $"{address} was another's a moment ago and cools down");
                        Write(new JournalRecord(JournalKind.Allocated) { Address = address.ToString(), Network = network, Owner = owner });
                        _book.Hold(block, bits, owner);
                        return new(AllocationStatus.Allocated, address, null);
                    }
                    beyond = WriteWindow(block, block.IndexOf(bits) + 1);
                }
                catch (JournalException error)
                {
                    if (isTaken) _book.Cool(block, bits, null, _clock.Milliseconds);
                    return new(AllocationStatus.JournalFailed, null, error.Message);
                }
            }
            if (Settle(beyond) is { } problem) return problem;
        }
    }

    /// <summary>Gives an owner's addresses of a network back.</summary>
    /// <returns>How many there were.</returns>
    /// <exception cref="JournalException">The journal cannot be written; the address stays held.</exception>
    public int Release(string network, string owner)
    {
        lock (_lock)
        {
            foreach (UInt128 gone in _expected.Where(each => each.Value == (network, owner)).Select(each => each.Key).ToArray()) _expected.Remove(gone);
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
        string owner = _book.Leases[address].Owner;
        Write(_book.ReleaseRecord(address, owner, now));
        AddressBook.Lease lease = _book.Drop(address);
        _book.Cool(lease.Block, address, lease.Owner, now);
    }
}
