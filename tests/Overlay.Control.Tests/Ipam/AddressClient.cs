using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;
using Overlay.Control.Stores;

namespace Overlay.Control.Tests.Ipam;

/// <summary>A node that leases blocks, hands out their addresses, takes them back and returns the blocks, and dies in between.</summary>
/// <param name="holders">Who has which address, of all nodes.</param>
internal sealed class AddressClient(
    IControlStore store, string node, string journal, ConcurrentDictionary<IPAddress, string> holders, Random random, int rounds = 6) : IDisposable
{
    private const string Network = "pods";

    private readonly string _journal = journal;
    private readonly Dictionary<string, IPAddress> _held = [];
    private readonly BlockLeases _leases = new(store);
    private NodeAllocator _allocator = Open(journal);
    private int _owners;

    /// <returns>How many addresses it handed out.</returns>
    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        for (int round = 0; round < rounds; round++)
        {
            for (int left = random.Next(1, 80); left > 0; left--)
            {
                await TakeAsync(cancellation);
                if (random.Next(4) == 0) GiveBack(_held.Keys.ElementAt(random.Next(_held.Count)));
                if (random.Next(40) == 0) Restart();
            }
            foreach (string owner in _held.Keys.ToArray()) GiveBack(owner);
            while (_allocator.Blocks.Count > 0) await ReturnAsync(cancellation);
        }
        return _owners;
    }

    public void Dispose() => _allocator.Dispose();

    private async Task TakeAsync(CancellationToken cancellation)
    {
        string owner = $"{node}/{_owners++}";
        while (true)
        {
            Allocation taken = _allocator.Allocate(Network, AddressFamily.InterNetwork, owner);
            if (taken.Address is { } address)
            {
                Assert.True(holders.TryAdd(address, owner), $"{owner} was given {address}, which {holders.GetValueOrDefault(address)} has");
                _held.Add(owner, address);
                return;
            }
            Assert.Equal(AllocationStatus.Exhausted, taken.Status);
            try
            {
                BlockLease lease = await _leases.LeaseAsync(Network, node, AddressFamily.InterNetwork, cancellation);
                Assert.True(lease.Status == BlockLeaseStatus.Leased, lease.Problem);
                _allocator.AddBlock(Network, lease.Block!.Value, []);
            }
            catch (StoreException)
            {
                await LearnAsync(cancellation);
            }
        }
    }

    private void GiveBack(string owner)
    {
        _held.Remove(owner, out IPAddress? address);
        Assert.True(holders.TryRemove(KeyValuePair.Create(address!, owner)), $"{address} is no more {owner}'s");
        Assert.Equal(1, _allocator.Release(Network, owner));
    }

    private async Task ReturnAsync(CancellationToken cancellation)
    {
        IPNetwork idle = _allocator.OfferIdleBlock(Network, AddressFamily.InterNetwork, all: true)!.Value;
        if (random.Next(4) == 0) Restart();
        try
        {
            await _leases.ReturnAsync(Network, node, 1, idle, cancellation);
            Assert.True(_allocator.RemoveBlock(idle));
        }
        catch (StoreException)
        {
            await LearnAsync(cancellation);
        }
    }

    /// <summary>The controller died: another one tells what the node holds.</summary>
    private async Task LearnAsync(CancellationToken cancellation)
    {
        HashSet<IPNetwork> held = [.. (await _leases.HeldAsync(Network, node, cancellation)).Select(block => IPNetwork.Parse(block.Prefix))];
        foreach (IPNetwork block in held) _allocator.AddBlock(Network, block, []);
        foreach (IPNetwork gone in _allocator.Blocks.Where(block => !held.Contains(block))) Assert.True(_allocator.RemoveBlock(gone), $"{gone} is in use and not {node}'s");
    }

    /// <summary>As after a crash of the process: what was written is there.</summary>
    private void Restart()
    {
        _allocator.Dispose();
        _allocator = Open(_journal);
        Assert.Equal(_held.OrderBy(each => each.Key), _allocator.All.Select(each => KeyValuePair.Create(each.Owner, each.Address)).OrderBy(each => each.Key));
    }

    private static NodeAllocator Open(string journal) => new(new NodeAllocatorOptions { Journal = journal, CoolDown = TimeSpan.Zero });
}
