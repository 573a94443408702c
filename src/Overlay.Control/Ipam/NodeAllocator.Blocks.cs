using System.Net;
using System.Net.Sockets;
using Overlay.Wire;

namespace Overlay.Control.Ipam;

/// <summary>The blocks that addresses are handed out of: how they come, are lent and go.</summary>
public sealed partial class NodeAllocator
{
    /// <summary>Addresses that are lent at a time; a power of two.</summary>
    private const int PartSize = 8;

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

    /// <summary>The blocks of a network, in the order in which they came.</summary>
    public IReadOnlyList<IPNetwork> BlocksOf(string network)
    {
        lock (_lock) return [.. _book.Blocks.Where(block => block.Network == network).Select(block => block.Prefix)];
    }

    public IReadOnlyList<IPNetwork> Blocks
    {
        get
        {
            lock (_lock) return [.. _book.Blocks.Select(block => block.Prefix)];
        }
    }

    /// <summary>Takes a block that the controller leased to this node, or learns anew which addresses of it are spared.</summary>
    /// <param name="unusable">Addresses of it that are excluded, reserved or lent to others.</param>
    /// <param name="isLent">Whether it is a part of another node's block.</param>
    public void AddBlock(string network, IPNetwork prefix, IReadOnlyCollection<IPAddress> unusable, bool isLent = false)
    {
        lock (_lock)
        {
            HashSet<UInt128> spared = [.. unusable.Select(IpBits.V6OrMapped)];
            if (_book.Find(prefix) is { } held)
            {
                held.IsLent = isLent;
                if (!held.IsReturning && spared.SetEquals(held.Unusable)) return;
                Write(AddressBook.BlockRecord(held.Network, prefix, spared));
                held.IsReturning = false;
                long now = _clock.Milliseconds;
                foreach (UInt128 address in _book.SetUnusable(held, spared, now)) Write(_book.ReleaseRecord(address, null, now));
                return;
            }
            var block = new HeldBlock(network, prefix, spared) { IsLent = isLent };
            int window = Math.Min(WindowStep, block.Size);
            Write(AddressBook.BlockRecord(network, prefix, spared));
            // A block comes seldom, and its first window is on the disk before its first address is asked for.
            Write(new JournalRecord(JournalKind.Window) { Block = prefix.ToString(), UpTo = window });
            _journal.Flush();
            block.Window = block.WindowAsked = window;
            _book.Add(block);
        }
    }

    /// <summary>Addresses that anybody can have at once.</summary>
    public int Available(string network, AddressFamily family)
    {
        lock (_lock) return _book.Available(network, family == AddressFamily.InterNetworkV6);
    }

    /// <summary>Addresses that anybody can have now or after their cool-down.</summary>
    public int Free(string network, AddressFamily family)
    {
        lock (_lock) return _book.BlocksOf(network, family == AddressFamily.InterNetworkV6).Where(block => !block.IsReturning).Sum(block => block.Usable - block.InUse);
    }

    /// <summary>Whether another block should be asked for, ahead of need.</summary>
    public bool WantsBlock(string network, AddressFamily family) => Available(network, family) < _options.LowWater;

    /// <summary>
    /// A block that can be given back: none of its addresses is held or cools down, and without it the high-water mark is still reached.
    /// It hands out no more addresses; <see cref="RemoveBlock"/> follows when the controller has it.
    /// </summary>
    /// <param name="all">Whether the node is to keep no free addresses, as it is drained.</param>
    /// <exception cref="JournalException">The journal cannot be written.</exception>
    public IPNetwork? OfferIdleBlock(string network, AddressFamily family, bool all = false)
    {
        lock (_lock)
        {
            HeldBlock? idle = _book.BlocksOf(network, family == AddressFamily.InterNetworkV6).Where(_book.IsIdle)
                .OrderByDescending(block => block.IsReturning).ThenByDescending(block => block.IsLent).FirstOrDefault();
            // What is borrowed goes back as soon as it can be spared.
            if (idle is null || (!idle.IsReturning && !all && Available(network, family) - idle.Usable < (idle.IsLent ? _options.LowWater : _options.HighWater))) return null;
            Suspend(idle);
            return idle.Prefix;
        }
    }

    /// <summary>
    /// A part of a block that can be lent: none of its addresses is held or cools down, and without it the low-water mark is still reached. It is
    /// spared until the block is added again without it.
    /// </summary>
    /// <exception cref="JournalException">The journal cannot be written.</exception>
    public IPNetwork? OfferPart(string network, AddressFamily family)
    {
        bool isIPv6 = family == AddressFamily.InterNetworkV6;
        lock (_lock)
        {
            if (_book.Available(network, isIPv6) - PartSize < _options.LowWater) return null;
            foreach (HeldBlock block in _book.BlocksOf(network, isIPv6).Where(block => block is { IsReturning: false, IsLent: false }))
            {
                if (_book.FreePart(block, PartSize) is not { } first) continue;
                HashSet<UInt128> spared = [.. block.Unusable, .. Enumerable.Range(first, PartSize).Select(block.At)];
                Write(AddressBook.BlockRecord(network, block.Prefix, spared));
                _journal.Flush();
                _book.SetUnusable(block, spared, _clock.Milliseconds);
                return new IPNetwork(IpBits.ToAddress(block.At(first)), (isIPv6 ? 128 : 32) - int.Log2(PartSize));
            }
            return null;
        }
    }

    /// <summary>Hands out no more addresses of a block until it is added again: it may be another node's.</summary>
    /// <exception cref="JournalException">The journal cannot be written.</exception>
    public void Suspend(IPNetwork prefix)
    {
        lock (_lock)
        {
            if (_book.Find(prefix) is { } block) Suspend(block);
        }
    }

    /// <summary>On the disk before anybody else can have the block: a host that crashes hands out none of it afterwards either.</summary>
    private void Suspend(HeldBlock block)
    {
        if (block.IsReturning) return;
        Write(new JournalRecord(JournalKind.Suspended) { Block = block.Prefix.ToString() });
        _journal.Flush();
        block.IsReturning = true;
    }

    /// <summary>Forgets a block that is not this node's any more.</summary>
    /// <returns>False: addresses of it are held, and it stays.</returns>
    public bool RemoveBlock(IPNetwork prefix)
    {
        lock (_lock)
        {
            if (_book.Find(prefix) is not { } block) return true;
            if (block.InUse > 0) return false;
            Write(new JournalRecord(JournalKind.BlockGone) { Block = prefix.ToString() });
            _book.Remove(block);
            return true;
        }
    }
}
