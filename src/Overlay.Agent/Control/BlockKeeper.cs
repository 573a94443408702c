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

    /// <summary>Blocks that are asked for in one look at a network.</summary>
    private const int MostAtOnce = 8;

    /// <summary>Addresses that an error names.</summary>
    private const int MostNamed = 5;

    /// <summary>Revisions in which blocks were leased that the watch may not have told of yet.</summary>
    private readonly Dictionary<IPNetwork, long> _leasedAt = [];

    /// <summary>Revisions from which on blocks are not this node's, of which the watch may not have told yet.</summary>
    private readonly Dictionary<IPNetwork, long> _returnedAt = [];

    private readonly Dictionary<(string Network, AddressFamily Family, IPNetwork? Wanted), (string Problem, long Until)> _refused = [];

    /// <summary>Parts of this node's blocks that were lent, with the revisions in which the watch tells so.</summary>
    private readonly Dictionary<IPNetwork, long> _lentAt = [];

    /// <summary>Wishes that were fulfilled, as <see cref="_lentAt"/>.</summary>
    private readonly Dictionary<Wish, long> _fulfilledAt = [];

    /// <summary>Blocks that are this node's by a backup only, and are to be given back, with their networks.</summary>
    private readonly Dictionary<IPNetwork, string> _foreign = [];
    private ControlView? _takenOver;

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
    /// <param name="settled">Called as soon as no address is handed out of a block that others may have, by what is known; before a controller is asked.</param>
    /// <exception cref="GrpcException">The controller cannot be asked.</exception>
    /// <exception cref="JournalException">The journal cannot be written.</exception>
    public async Task LookAsync(NodesClient nodes, long generation, Action settled, CancellationToken cancellation)
    {
        long revision = state.Revision;
        ControlView view = state.Own();
        if (view.Revision == 0) return;
        if (state.TakeRestored()) StartOver(view);
        NodeAllocator.BlockUse[] lost = [.. Lost(view, revision)];
        allocator.Suspend([.. lost.Select(block => block.Prefix)]);
        if (!ReferenceEquals(view, _takenOver)) TakeOver(view, revision);
        _takenOver = view;
        settled();
        ForgetRefusals(view, lost);
        await GiveBackAsync(nodes, generation, cancellation).ConfigureAwait(false);
        await SettleAsync(lost, nodes, generation, cancellation).ConfigureAwait(false);
        bool draining = view.Node(node)?.Draining ?? false;
        foreach (Network network in view.Networks.Where(network => networks?.Contains(network.Name) ?? true))
        {
            foreach (AddressFamily family in network.Pools.Select(pool => FamilyOf(pool.Prefix)).Distinct())
                await LookAsync(network.Name, family, draining, nodes, generation, cancellation).ConfigureAwait(false);
        }
        await LendAsync(view, revision, nodes, generation, cancellation).ConfigureAwait(false);
    }

    /// <summary>Addresses of a block that are not to be handed out: its first, which is the node's own, and those excluded, reserved or lent.</summary>
    private HashSet<IPAddress> Spared(IPNetwork block, string network, ControlView view)
    {
        var spared = new HashSet<IPAddress> { block.BaseAddress };
        IEnumerable<IPNetwork> lent = view.Blocks.Where(each => each.LentBy.Length > 0 && each.Holder.Length > 0 && each.Holder != node).Select(each => IPNetwork.Parse(each.Prefix));
        foreach (IPNetwork part in lent.Concat(_lentAt.Keys).Where(part => part.PrefixLength > block.PrefixLength && block.Contains(part.BaseAddress)))
        {
            (UInt128 first, UInt128 last) = Range(part);
            for (UInt128 address = first; address <= last; address++) spared.Add(IpBits.ToAddress(address));
        }
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
    private void TakeOver(ControlView view, long revision)
    {
        foreach (IPNetwork old in _returnedAt.Where(each => each.Value <= revision).Select(each => each.Key).ToArray()) _returnedAt.Remove(old);
        foreach (IPNetwork old in _lentAt.Where(each => each.Value <= revision).Select(each => each.Key).ToArray()) _lentAt.Remove(old);
        foreach (Block block in view.Blocks.Where(block => block.Holder == node))
        {
            IPNetwork prefix = IPNetwork.Parse(block.Prefix);
            if (_returnedAt.ContainsKey(prefix) || _foreign.ContainsKey(prefix)) continue;
            allocator.AddBlock(block.Network, prefix, Spared(prefix, block.Network, view), block.LentBy.Length > 0);
        }
    }

    /// <summary>
    /// A backup was restored: what is known of later revisions counts no more, and blocks of which it says that this node holds them, and of which this node knows
    /// nothing, are to be given back. It gave them back since, and another node may have them.
    /// </summary>
    private void StartOver(ControlView view)
    {
        foreach (Dictionary<IPNetwork, long> old in new[] { _leasedAt, _returnedAt, _lentAt }) old.Clear();
        _fulfilledAt.Clear();
        _foreign.Clear();
        foreach (Block block in view.Blocks.Where(block => block.Holder == node && !allocator.Knows(IPNetwork.Parse(block.Prefix)))) _foreign[IPNetwork.Parse(block.Prefix)] = block.Network;
    }

    /// <summary>What was refused is no problem any more once nobody asks for it.</summary>
    private void ForgetRefusals(ControlView view, NodeAllocator.BlockUse[] lost)
    {
        bool draining = view.Node(node)?.Draining ?? false;
        HashSet<string> known = [.. view.Networks.Select(network => network.Name)];
        lock (_refused)
        {
            foreach ((string Network, AddressFamily Family, IPNetwork? Wanted) asked in _refused.Keys.ToArray())
            {
                bool isAskedFor = asked.Wanted is { } block ? Array.Exists(lost, each => each.Prefix.Equals(block))
                    : known.Contains(asked.Network) && !draining && allocator.WantsBlock(asked.Network, asked.Family);
                if (!isAskedFor) _refused.Remove(asked);
            }
        }
    }

    private async Task GiveBackAsync(NodesClient nodes, long generation, CancellationToken cancellation)
    {
        foreach ((IPNetwork prefix, string network) in _foreign.ToArray())
        {
            ReleaseBlockResponse released = await nodes.ReleaseAsync(
                new ReleaseBlockRequest { Node = node, Network = network, Prefix = prefix.ToString(), Generation = generation }, cancellation).ConfigureAwait(false);
            _returnedAt[prefix] = released.Revision;
            _foreign.Remove(prefix);
            log.LogWarning("gave the block {Block} of network {Network} back: by the backup that was restored it is this node's, which had given it back since", prefix, network);
        }
    }

    /// <summary>Lends parts of blocks to nodes that ask for one in vain, as long as this node has enough.</summary>
    private async Task LendAsync(ControlView view, long revision, NodesClient nodes, long generation, CancellationToken cancellation)
    {
        foreach (Wish old in _fulfilledAt.Where(each => each.Value <= revision).Select(each => each.Key).ToArray()) _fulfilledAt.Remove(old);
        foreach (Wish wish in view.Wishes.Where(wish => wish.Node != node && !_fulfilledAt.ContainsKey(wish)))
        {
            if (Offer(wish) is not { } part) continue;
            // Should the answer be lost, the next registration's view tells what became of it.
            _takenOver = null;
            try
            {
                LendBlockResponse lent = await nodes.LendAsync(
                    new LendBlockRequest { Node = node, Network = wish.Network, Prefix = part.ToString(), To = wish.Node, Generation = generation }, cancellation).ConfigureAwait(false);
                _lentAt[part] = lent.Revision;
                _fulfilledAt[wish] = lent.Revision;
                log.LogInformation("lent {Part} of network {Network} to node {Node}", part, wish.Network, wish.Node);
            }
            catch (GrpcException exception) when (exception.Status == GrpcStatusCode.InvalidArgument)
            {
                // Another node was first.
                log.LogInformation("{Problem}", exception.Message);
                return;
            }
        }
    }

    private IPNetwork? Offer(Wish wish)
    {
        try
        {
            return allocator.OfferPart(wish.Network, wish.Ipv6 ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork);
        }
        catch (JournalException)
        {
            // What is spared already is to be no more.
            _takenOver = null;
            throw;
        }
    }

    /// <summary>Blocks that others think are not this node's any more.</summary>
    /// <param name="revision">That <paramref name="view"/> is good for.</param>
    private IEnumerable<NodeAllocator.BlockUse> Lost(ControlView view, long revision)
    {
        HashSet<IPNetwork> held = [.. view.Blocks.Where(block => block.Holder == node).Select(block => IPNetwork.Parse(block.Prefix))];
        foreach (IPNetwork old in _leasedAt.Where(each => each.Value <= revision).Select(each => each.Key).ToArray()) _leasedAt.Remove(old);
        return allocator.BlocksInUse.Where(block => !held.Contains(block.Prefix) && !_leasedAt.ContainsKey(block.Prefix));
    }

    /// <summary>Gives lost blocks up where they are empty, and claims them again where they are not.</summary>
    private async Task SettleAsync(NodeAllocator.BlockUse[] lost, NodesClient nodes, long generation, CancellationToken cancellation)
    {
        foreach (NodeAllocator.BlockUse block in lost)
        {
            if (allocator.RemoveBlock(block.Prefix))
            {
                lock (_refused) _refused.Remove((block.Network, FamilyOf(block.Prefix), block.Prefix));
                log.LogWarning("the block {Block} of network {Network} is no more this node's, and nobody uses an address of it", block.Prefix, block.Network);
                continue;
            }
            await AcquireAsync(block.Network, FamilyOf(block.Prefix), block.Prefix, nodes, generation, cancellation).ConfigureAwait(false);
        }
    }

    private async Task LookAsync(
        string network, AddressFamily family, bool draining, NodesClient nodes, long generation, CancellationToken cancellation)
    {
        // Where addresses go fast, one block may not be enough.
        bool asked = false;
        for (int i = 0; i < MostAtOnce && !draining && allocator.WantsBlock(network, family); i++)
        {
            asked = true;
            if (!await AcquireAsync(network, family, null, nodes, generation, cancellation).ConfigureAwait(false)) break;
        }
        if (asked) return;
        if (allocator.OfferIdleBlock(network, family, draining) is not { } idle) return;
        ReleaseBlockResponse released = await nodes.ReleaseAsync(
            new ReleaseBlockRequest { Node = node, Network = network, Prefix = idle.ToString(), Generation = generation }, cancellation).ConfigureAwait(false);
        _returnedAt[idle] = released.Revision;
        allocator.RemoveBlock(idle);
        log.LogInformation("gave the idle block {Block} of network {Network} back", idle, network);
    }

    /// <returns>False: it is refused.</returns>
    private async Task<bool> AcquireAsync(
        string network, AddressFamily family, IPNetwork? wanted, NodesClient nodes, long generation, CancellationToken cancellation)
    {
        lock (_refused)
        {
            if (_refused.TryGetValue((network, family, wanted), out var refused) && Environment.TickCount64 < refused.Until) return false;
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
            if (!IPNetwork.TryParse(leased.Prefix, out IPNetwork prefix)) throw new GrpcException(GrpcStatusCode.Internal, $"the block '{leased.Prefix}' that was leased is no prefix");
            _leasedAt[prefix] = leased.Revision;
            _returnedAt.Remove(prefix);
            allocator.AddBlock(network, prefix, Spared(prefix, network, state.Own()));
            lock (_refused) _refused.Remove((network, family, wanted));
            log.LogInformation("leased the block {Block} of network {Network}", prefix, network);
            return true;
        }
        catch (GrpcException exception) when (exception.Status is GrpcStatusCode.ResourceExhausted or GrpcStatusCode.NotFound
            || (exception.Status == GrpcStatusCode.FailedPrecondition && wanted is not null))
        {
            string problem = wanted is null ? exception.Message : Bereft(wanted.Value, exception.Message);
            lock (_refused)
            {
                bool isNew = !_refused.TryGetValue((network, family, wanted), out var last) || last.Problem != problem;
                _refused[(network, family, wanted)] = (problem, Environment.TickCount64 + (long)RefusalPause.TotalMilliseconds);
                if (isNew) log.LogError("{Problem}", problem);
            }
            return false;
        }
    }

    private string Bereft(IPNetwork block, string reason)
    {
        NodeAllocator.Held[] used = [.. allocator.All.Where(each => block.Contains(each.Address))];
        string some = string.Join(", ", used.Take(MostNamed).Select(each => $"{each.Address} of {each.Owner}"));
        return $"the block {block} was taken from this node, and {used.Length} of its addresses are in use here ({some}{(used.Length > MostNamed ? ", …" : "")}): {reason}; "
            + "delete the pods that have them, so that they get others: no other node reaches them";
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
