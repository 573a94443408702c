using System.Net;
using Overlay.Control.Ipam;
using Overlay.Control.Model;
using Overlay.Rpc.Control;

namespace Overlay.Control.State;

/// <summary>Looks for what contradicts itself in the state: it was changed by hand, or by a fault.</summary>
public static class StateChecks
{
    public static IReadOnlyList<Problem> Run(StateCache cache)
    {
        var problems = new List<Problem>();
        IReadOnlyList<NetworkDocument> networks = cache.Networks;
        Dictionary<string, NodeDocument> nodes = cache.Nodes.ToDictionary(node => node.Name);
        CheckPools(networks, problems);
        foreach (NetworkDocument network in networks) CheckBlocks(network, cache.Blocks(network.Name), nodes, problems);
        foreach (BlockDocument stray in cache.List("state/blocks/").Select(StateDocuments.Block).Where(block => networks.All(network => network.Name != block.Network)))
            Add(problems, $"block {stray.Prefix} is of network '{stray.Network}', which does not exist", $"overlay network delete {stray.Network}");
        foreach (ReservationDocument reservation in cache.List("state/reservations/").Select(StateDocuments.Reservation))
        {
            if (!networks.Any(network => network.Name == reservation.Network && network.Pools.Any(pool => pool.Network.Contains(IPAddress.Parse(reservation.Address)))))
                Add(problems, $"{reservation.Address} is reserved in network '{reservation.Network}', none of whose pools holds it", $"overlay ipam release {reservation.Address} --network {reservation.Network}");
        }
        foreach (RouteDocument route in cache.List("state/routes/").Select(StateDocuments.Route))
        {
            if (!nodes.ContainsKey(route.Node))
                Add(problems, $"route {route.Prefix} of network '{route.Network}' is through node '{route.Node}', which does not exist", $"overlay network delete-route {route.Network} {route.Prefix}");
            if (networks.SelectMany(network => network.Pools).FirstOrDefault(pool => Overlap(pool.Network, IPNetwork.Parse(route.Prefix))) is { } pool)
                Add(problems, $"route {route.Prefix} of network '{route.Network}' overlaps the pool {pool.Prefix}", $"overlay network delete-route {route.Network} {route.Prefix}");
        }
        foreach (IGrouping<string, (string Address, NodeDocument Node)> same in nodes.Values
            .SelectMany(node => node.Underlay.Select(address => (address, node))).GroupBy(each => each.address).Where(each => each.Count() > 1))
        {
            string[] names = [.. same.OrderByDescending(each => each.Node.Registered).Select(each => each.Node.Name)];
            Add(problems, $"underlay address {same.Key} is that of {string.Join(" and ", names)}", $"the last to register, {names[0]}, is sent to; 'overlay node remove' the others if they are gone");
        }
        foreach ((NetworkDocument network, PoolDocument pool) in networks.SelectMany(network => network.Pools.Select(pool => (network, pool))))
        {
            foreach (NodeDocument node in nodes.Values)
            {
                foreach (string address in node.Underlay.Where(address => Holds(pool, IPAddress.Parse(address))))
                    Add(problems, $"pool {pool.Prefix} of network '{network.Name}' holds the underlay address {address} of node '{node.Name}'", "give the node another address, or delete the network and create it with other pools");
            }
        }
        return problems;
    }

    private static void CheckPools(IReadOnlyList<NetworkDocument> networks, List<Problem> problems)
    {
        (string Network, IPNetwork Prefix)[] pools = [.. networks.SelectMany(network => network.Pools.Select(pool => (network.Name, pool.Network)))];
        for (int i = 0; i < pools.Length; i++)
        {
            for (int k = i + 1; k < pools.Length; k++)
            {
                if (Overlap(pools[i].Prefix, pools[k].Prefix))
                    Add(problems, $"pool {pools[i].Prefix} of network '{pools[i].Network}' overlaps {pools[k].Prefix} of '{pools[k].Network}'", "delete one of the networks");
            }
        }
        foreach (IGrouping<uint, NetworkDocument> same in networks.GroupBy(network => network.Vni).Where(group => group.Count() > 1))
            Add(problems, $"VNI {same.Key} is that of {string.Join(" and ", same.Select(network => network.Name))}", "delete one of the networks");
    }

    private static void CheckBlocks(
        NetworkDocument network, IReadOnlyList<BlockDocument> blocks, Dictionary<string, NodeDocument> nodes, List<Problem> problems)
    {
        BlockSpace[] spaces = [.. network.Pools.Select(pool => new BlockSpace(pool))];
        BlockDocument[] held = [.. blocks.Where(block => block.Holder is not null)];
        foreach (BlockDocument block in held)
        {
            if (!nodes.ContainsKey(block.Holder!))
                Add(problems, $"block {block.Prefix} of network '{network.Name}' is held by node '{block.Holder}', which does not exist", $"overlay node remove {block.Holder}");
            if (block.LentBy is null ? !Array.Exists(spaces, space => space.IndexOf(IPNetwork.Parse(block.Prefix)) is not null)
                : !network.Pools.Any(pool => pool.Network.Contains(IPNetwork.Parse(block.Prefix).BaseAddress)))
                Add(problems, $"block {block.Prefix} of network '{network.Name}', held by '{block.Holder}', is in none of its pools", $"drain node '{block.Holder}'");
        }
        CheckOverlaps(network, held.Where(block => block.LentBy is null), problems);
        CheckOverlaps(network, held.Where(block => block.LentBy is not null), problems);
    }

    /// <summary>In the order of their addresses, blocks that overlap are neighbours. Parts that are lent lie in blocks, which is no fault.</summary>
    private static void CheckOverlaps(NetworkDocument network, IEnumerable<BlockDocument> held, List<Problem> problems)
    {
        IPNetwork[] sorted = [.. held.Select(block => IPNetwork.Parse(block.Prefix)).OrderBy(prefix => Wire.IpBits.V6OrMapped(prefix.BaseAddress))];
        for (int i = 1; i < sorted.Length; i++)
        {
            if (Overlap(sorted[i - 1], sorted[i]))
                Add(problems, $"blocks {sorted[i - 1]} and {sorted[i]} of network '{network.Name}' overlap", "drain the node of one of them");
        }
    }

    /// <summary>Whether two prefixes have an address in common.</summary>
    public static bool Overlap(IPNetwork one, IPNetwork other) => one.Contains(other.BaseAddress) || other.Contains(one.BaseAddress);

    /// <summary>Whether an address is in a pool and not in a block that is wholly excluded.</summary>
    public static bool Holds(PoolDocument pool, IPAddress address)
    {
        if (!pool.Network.Contains(address)) return false;
        var space = new BlockSpace(pool);
        return space.IndexOf(space.Containing(address)) is not { } index || !space.IsExcluded(index);
    }

    private static void Add(List<Problem> problems, string what, string remedy) => problems.Add(new Problem { What = what, Remedy = remedy });
}
