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
    /// <param name="IsLost">Whether addresses of it are held though it is this node's no more.</param>
    public readonly record struct BlockUse(string Network, IPNetwork Prefix, int Size, int InUse, bool IsLost);

    public IReadOnlyList<BlockUse> BlocksInUse
    {
        get
        {
            lock (_lock) return [.. _book.Blocks.Select(block => new BlockUse(block.Network, block.Prefix, block.Size, block.InUse, block is { IsReturning: true, InUse: > 0 }))];
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

    /// <summary>
    /// Takes a block that the controller leased to this node, or learns anew which addresses of it are spared. Addresses can be had of it when this returns.
    /// </summary>
    /// <param name="unusable">Addresses of it that are excluded, reserved or lent to others.</param>
    /// <param name="isLent">Whether it is a part of another node's block.</param>
    /// <exception cref="JournalException">The journal cannot be written.</exception>
    public void AddBlock(string network, IPNetwork prefix, IReadOnlyCollection<IPAddress> unusable, bool isLent = false)
    {
        WrittenWindow first;
        lock (_lock)
        {
            HashSet<UInt128> spared = [.. unusable.Select(IpBits.V6OrMapped)];
            if (_book.Find(prefix) is { } held)
            {
                held.IsLent = isLent;
                if (!held.IsReturning && spared.SetEquals(held.Unusable)) return;
                WriteBlock(held.Network, prefix, spared);
                foreach (UInt128 address in Expected(held).Where(address => held.IndexOf(address) < held.Window)) Expect(held, address);
                held.IsReturning = held.IsReturnWritten = false;
                long now = _clock.Milliseconds;
                foreach (UInt128 address in _book.SetUnusable(held, spared, now)) Write(_book.ReleaseRecord(address, null, now));
                return;
            }
            var block = new HeldBlock(network, prefix, spared) { IsLent = isLent };
            WriteBlock(network, prefix, spared);
            _book.Add(block);
            UInt128[] there = Expected(block);
            first = WriteWindow(block, there.Select(address => block.IndexOf(address) + 1).Append(WindowStep).Max());
            foreach (UInt128 address in there) Expect(block, address);
        }
        // Nothing of it is handed out before its first window is on the disk; what others are given meanwhile does not wait for that.
        FlushNow();
        lock (_lock) Count(first);
    }

    /// <summary>Whether a block is here, or addresses of it are in use.</summary>
    public bool Knows(IPNetwork prefix)
    {
        lock (_lock) return _book.Find(prefix) is not null || _expected.Keys.Any(address => prefix.Contains(IpBits.ToAddress(address)));
    }

    private void WriteBlock(string network, IPNetwork prefix, IReadOnlySet<UInt128> spared)
    {
        foreach (JournalRecord record in AddressBook.BlockRecords(network, prefix, spared)) Write(record);
    }

    /// <summary>Addresses of a block that are in use, though they are not held.</summary>
    private UInt128[] Expected(HeldBlock block) => [.. _expected.Where(each => each.Value.Network == block.Network && block.Contains(each.Key)).Select(each => each.Key)];

    /// <summary>Holds such an address, of a block of which none is handed out yet.</summary>
    private void Expect(HeldBlock block, UInt128 address)
    {
        _expected.Remove(address, out (string Network, string Owner) of);
        if (_book.Leases.ContainsKey(address) || _book.AddressOf(block.Network, block.IsIPv6, of.Owner) is not null) return;
        if (!_book.Take(block, address, null, isThere: true)) return;
        Write(new JournalRecord(JournalKind.Allocated) { Address = IpBits.ToAddress(address).ToString(), Network = block.Network, Owner = of.Owner });
        _book.Hold(block, address, of.Owner);
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
        IPNetwork offered;
        lock (_lock)
        {
            HeldBlock? idle = _book.BlocksOf(network, family == AddressFamily.InterNetworkV6).Where(_book.IsIdle)
                .OrderByDescending(block => block.IsReturning).ThenByDescending(block => block.IsLent).FirstOrDefault();
            // What is borrowed goes back as soon as it can be spared.
            if (idle is null || (!idle.IsReturning && !all && Available(network, family) - idle.Usable < (idle.IsLent ? _options.LowWater : _options.HighWater))) return null;
            idle.IsReturning = true;
            offered = idle.Prefix;
        }
        Suspend([offered]);
        return offered;
    }

    /// <summary>
    /// A part of a block that can be lent: none of its addresses is held or cools down, and without it the low-water mark is still reached. It is
    /// spared until the block is added again without it.
    /// </summary>
    /// <exception cref="JournalException">The journal cannot be written; the part may be spared nevertheless.</exception>
    public IPNetwork? OfferPart(string network, AddressFamily family)
    {
        if (SparePart(network, family == AddressFamily.InterNetworkV6) is not { } part) return null;
        FlushNow();
        return part;
    }

    private IPNetwork? SparePart(string network, bool isIPv6)
    {
        lock (_lock)
        {
            if (_book.Available(network, isIPv6) - PartSize < _options.LowWater) return null;
            foreach (HeldBlock block in _book.BlocksOf(network, isIPv6).Where(block => block is { IsReturning: false, IsLent: false }))
            {
                if (_book.FreePart(block, PartSize) is not { } first) continue;
                HashSet<UInt128> spared = [.. block.Unusable, .. Enumerable.Range(first, PartSize).Select(block.At)];
                WriteBlock(network, block.Prefix, spared);
                _book.SetUnusable(block, spared, _clock.Milliseconds);
                return new IPNetwork(IpBits.ToAddress(block.At(first)), (isIPv6 ? 128 : 32) - int.Log2(PartSize));
            }
            return null;
        }
    }

    /// <summary>
    /// Hands out no more addresses of blocks until they are added again: they may be another node's. That is so at once, also where it cannot be written, and
    /// on the disk when this returns: a host that crashes hands out none of them afterwards either.
    /// </summary>
    /// <exception cref="JournalException">The journal cannot be written; the next call tries again.</exception>
    public void Suspend(IReadOnlyCollection<IPNetwork> prefixes)
    {
        var suspended = new List<HeldBlock>();
        lock (_lock)
        {
            foreach (IPNetwork prefix in prefixes)
            {
                if (_book.Find(prefix) is not { } block) continue;
                block.IsReturning = true;
                if (!block.IsReturnWritten) suspended.Add(block);
            }
            foreach (HeldBlock block in suspended) Write(new JournalRecord(JournalKind.Suspended) { Block = block.Prefix.ToString() });
        }
        if (suspended.Count == 0) return;
        FlushNow();
        lock (_lock) suspended.ForEach(block => block.IsReturnWritten = block.IsReturning);
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
