using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Overlay.Control.Ipam;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Wire;

namespace Overlay.Agent.Control;

/// <summary>
/// Keeps this node's blocks: takes over what the controllers say it holds, asks for more ahead of need, and gives back what lies idle.
/// </summary>
/// <param name="networks">Those that the node joins; null: all.</param>
internal sealed class BlockKeeper(string node, IReadOnlySet<string>? networks, NodeAllocator allocator, ControlState state, ILogger log)
{
    /// <summary>How long nothing is asked for that was just refused.</summary>
    private static readonly TimeSpan RefusalPause = TimeSpan.FromSeconds(5);

    /// <summary>Revisions in which blocks were leased that the watch may not have told of yet.</summary>
    private readonly Dictionary<IPNetwork, long> _leasedAt = [];
    private readonly Dictionary<(string Network, AddressFamily Family), (string Problem, long Until)> _refused = [];

    /// <summary>Why a network gets no more blocks, where that is so.</summary>
    public IReadOnlyList<string> Refusals
    {
        get
        {
            lock (_refused) return [.. _refused.Values.Select(each => each.Problem)];
        }
    }

    /// <summary>One look at all networks.</summary>
    /// <param name="nodes">The controller.</param>
    /// <param name="generation">Of the registration in force.</param>
    /// <exception cref="GrpcException">The controller cannot be asked.</exception>
    /// <exception cref="JournalException">The journal cannot be written.</exception>
    public async Task LookAsync(NodesClient nodes, long generation, CancellationToken cancellation)
    {
        ControlView view = state.Own();
        if (view.Revision == 0) return;
        TakeOver(view);
        await SettleLostAsync(view, nodes, generation, cancellation).ConfigureAwait(false);
        bool draining = view.Node(node)?.Draining ?? false;
        foreach (Network network in view.Networks.Where(network => networks?.Contains(network.Name) ?? true))
        {
            foreach (AddressFamily family in network.Pools.Select(pool => FamilyOf(pool.Prefix)).Distinct())
                await LookAsync(network.Name, family, draining, nodes, generation, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Addresses of a block that are not to be handed out: its first, which is the node's own, and those excluded or reserved.</summary>
    public static IReadOnlyCollection<IPAddress> Spared(IPNetwork block, string network, ControlView view)
    {
        var spared = new HashSet<IPAddress> { block.BaseAddress };
        foreach (Reservation reservation in view.Reservations)
        {
            IPAddress address = IPAddress.Parse(reservation.Address);
            if (reservation.Network == network && block.Contains(address)) spared.Add(address);
        }
        foreach (string text in view.Networks.Where(each => each.Name == network).SelectMany(each => each.Pools).SelectMany(pool => pool.Excluded))
        {
            IPNetwork excluded = IPNetwork.Parse(text);
            if (!block.Contains(excluded.BaseAddress) && !excluded.Contains(block.BaseAddress)) continue;
            (UInt128 first, UInt128 last) = Range(excluded.PrefixLength > block.PrefixLength ? excluded : block);
            for (UInt128 address = first; address <= last; address++) spared.Add(IpBits.ToAddress(address));
        }
        return spared;
    }

    /// <summary>Takes over blocks of which the controllers say that this node holds them, also those whose answer was lost.</summary>
    public void TakeOver(ControlView view)
    {
        foreach (Block block in view.Blocks.Where(block => block.Holder == node))
        {
            IPNetwork prefix = IPNetwork.Parse(block.Prefix);
            allocator.AddBlock(block.Network, prefix, Spared(prefix, block.Network, view));
        }
    }

    /// <summary>Blocks that others think are not this node's any more: given up where they are empty, claimed again where they are not.</summary>
    private async Task SettleLostAsync(ControlView view, NodesClient nodes, long generation, CancellationToken cancellation)
    {
        HashSet<IPNetwork> held = [.. view.Blocks.Where(block => block.Holder == node).Select(block => IPNetwork.Parse(block.Prefix))];
        foreach (IPNetwork old in _leasedAt.Where(each => each.Value <= view.Revision).Select(each => each.Key).ToArray()) _leasedAt.Remove(old);
        foreach (NodeAllocator.BlockUse block in allocator.BlocksInUse)
        {
            if (held.Contains(block.Prefix) || _leasedAt.ContainsKey(block.Prefix)) continue;
            if (block.InUse == 0)
            {
                allocator.RemoveBlock(block.Prefix);
                continue;
            }
            await AcquireAsync(block.Network, FamilyOf(block.Prefix), block.Prefix, nodes, generation, cancellation).ConfigureAwait(false);
        }
    }

    private async Task LookAsync(
        string network, AddressFamily family, bool draining, NodesClient nodes, long generation, CancellationToken cancellation)
    {
        if (!draining && allocator.WantsBlock(network, family))
        {
            await AcquireAsync(network, family, null, nodes, generation, cancellation).ConfigureAwait(false);
            return;
        }
        if (allocator.OfferIdleBlock(network, family, draining) is not { } idle) return;
        await nodes.ReleaseAsync(new ReleaseBlockRequest { Node = node, Network = network, Prefix = idle.ToString(), Generation = generation }, cancellation)
            .ConfigureAwait(false);
        allocator.RemoveBlock(idle);
        log.LogInformation("gave the idle block {Block} of network {Network} back", idle, network);
    }

    private async Task AcquireAsync(
        string network, AddressFamily family, IPNetwork? wanted, NodesClient nodes, long generation, CancellationToken cancellation)
    {
        lock (_refused)
        {
            if (_refused.TryGetValue((network, family), out var refused) && Environment.TickCount64 < refused.Until) return;
        }
        try
        {
            AcquireBlockResponse leased = await nodes.AcquireAsync(
                new AcquireBlockRequest
                {
                    Node = node,
                    Network = network,
                    Ipv6 = family == AddressFamily.InterNetworkV6,
                    Prefix = wanted?.ToString() ?? "",
                    Generation = generation,
                },
                cancellation).ConfigureAwait(false);
            IPNetwork prefix = IPNetwork.Parse(leased.Prefix);
            _leasedAt[prefix] = leased.Revision;
            allocator.AddBlock(network, prefix, Spared(prefix, network, state.Own()));
            lock (_refused) _refused.Remove((network, family));
            log.LogInformation("leased the block {Block} of network {Network}", prefix, network);
        }
        catch (GrpcException exception) when (exception.Status is GrpcStatusCode.ResourceExhausted or GrpcStatusCode.NotFound
            || (exception.Status == GrpcStatusCode.FailedPrecondition && wanted is not null))
        {
            string problem = wanted is null ? exception.Message : $"workloads use addresses of {wanted}, which is no more this node's: {exception.Message}";
            lock (_refused)
            {
                bool isNew = !_refused.TryGetValue((network, family), out var last) || last.Problem != problem;
                _refused[(network, family)] = (problem, Environment.TickCount64 + (long)RefusalPause.TotalMilliseconds);
                if (isNew) log.LogError("{Problem}", problem);
            }
        }
    }

    private static (UInt128 First, UInt128 Last) Range(IPNetwork prefix)
    {
        int bits = FamilyOf(prefix) == AddressFamily.InterNetworkV6 ? 128 : 32;
        UInt128 first = IpBits.V6OrMapped(prefix.BaseAddress);
        return (first, first + ((UInt128.One << (bits - prefix.PrefixLength)) - 1));
    }

    private static AddressFamily FamilyOf(IPNetwork prefix) => prefix.BaseAddress.AddressFamily;

    private static AddressFamily FamilyOf(string prefix) => FamilyOf(IPNetwork.Parse(prefix));
}
