using System.Net;
using Overlay.Control.Ipam;
using Overlay.Linux.Netlink;
using Overlay.Rpc;

namespace Overlay.Agent.Pods;

/// <summary>Looks for contradictions, and changes nothing.</summary>
internal sealed partial class PodNetwork
{
    /// <summary>Holds the addresses that are held against the records of pods, and those against interfaces, routes, filter and what is on disk.</summary>
    /// <exception cref="Linux.LinuxException">The kernel does not tell what it has.</exception>
    public AddressCheckDocument Inspect()
    {
        Attachment[] pods = [.. _journal.All.OrderBy(each => each.Owner, StringComparer.Ordinal)];
        IReadOnlyList<NodeAllocator.Held> held = _addresses.Held;
        Dictionary<string, Link> links = PodLinks().ToDictionary(link => link.Name);
        Route[] routes = [.. _netlink.ListRoutes().Where(route => route is { Protocol: PodWiring.RouteProtocol, Kind: RouteKind.Unicast })];
        HashSet<(int, IPNetwork)> ways = [.. routes.Select(route => (route.InterfaceIndex, route.Destination))];
        return new AddressCheckDocument(pods.Length, held.Count,
        [
            .. ContradictionsOf(pods, held),
            .. Lost(pods),
            .. new[] { _addresses.Doubt }.OfType<string>(),
            .. pods.SelectMany(pod => ContradictionsOf(pod, links.GetValueOrDefault(pod.HostInterface), ways)),
            .. LeftOvers(pods, links, routes),
            .. _filter.Contradictions(pods.GroupBy(pod => pod.NamespaceId).SelectMany(SourcesOf)),
            .. _journal.Strays().Select(file => $"{file} is the record of no pod"),
            .. _pending.Read().Select(pending => $"the deletion {pending.File} was not done"),
        ]);
    }

    private static IEnumerable<string> ContradictionsOf(Attachment[] pods, IReadOnlyList<NodeAllocator.Held> held)
    {
        Dictionary<IPAddress, string> owners = held.ToDictionary(each => each.Address, each => each.Owner);
        foreach (Attachment pod in pods)
        {
            foreach (IPAddress address in pod.Addresses.Select(own => own.Parsed.Address))
            {
                if (!owners.Remove(address, out string? owner)) yield return $"{pod.Label} has {address}, which is not held, or another has it too";
                else if (owner != pod.Owner) yield return $"{pod.Label} has {address}, which is held for {owner}";
            }
        }
        foreach ((IPAddress address, string owner) in owners) yield return $"{address} is held for {owner}, of which there is nothing";
    }

    /// <summary>Pods whose addresses controllers took from this node.</summary>
    private IEnumerable<string> Lost(Attachment[] pods)
    {
        NodeAllocator.BlockUse[] lost = [.. _addresses.Blocks.Where(block => block.IsLost)];
        foreach ((Attachment pod, IPAddress address) in pods.SelectMany(pod => pod.Addresses.Select(own => (pod, own.Parsed.Address))))
        {
            foreach (NodeAllocator.BlockUse block in lost.Where(block => block.Prefix.Contains(address)))
                yield return $"{pod.Label} has {address} of the block {block.Prefix}, which is this node's no more: delete it, so that it gets another address";
        }
    }

    private IEnumerable<string> ContradictionsOf(Attachment pod, Link? link, HashSet<(int, IPNetwork)> ways)
    {
        if (!pod.IsWired) yield return $"{pod.Label} is half made";
        // With its namespace go its interfaces.
        if (!IsAlive(pod)) yield return $"{pod.Label} has ended and was not deleted";
        else if (link is null) yield return $"{pod.Label} has no interface {pod.HostInterface} on the host";
        if (link is null) yield break;
        if (_bridge is not null) yield break;
        foreach (IPNetwork prefix in pod.Addresses.Select(own => PodWiring.HostPrefix(own.Parsed.Address)))
        {
            if (!ways.Contains((link.Index, prefix))) yield return $"the host has no route to {prefix}, of {pod.Label}";
        }
    }

    private static IEnumerable<string> LeftOvers(Attachment[] pods, Dictionary<string, Link> links, Route[] routes)
    {
        HashSet<string> interfaces = [.. pods.Select(pod => pod.HostInterface)];
        foreach (Link link in links.Values.Where(link => !interfaces.Contains(link.Name))) yield return $"the interface {link.Name} leads to a pod that nothing is known of";
        HashSet<IPNetwork> prefixes = [.. pods.SelectMany(pod => pod.Addresses).Select(own => PodWiring.HostPrefix(own.Parsed.Address))];
        foreach (Route route in routes.Where(route => !prefixes.Contains(route.Destination))) yield return $"the host's route to {route.Destination} is no pod's";
    }
}
