using System.Net;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Rpc.Control;

namespace Overlay.Controller;

/// <summary>What an address is: its pool, block, holder, reservation and route.</summary>
internal static class AddressFindings
{
    public static WhoResponse Of(StateCache cache, IPAddress address)
    {
        var response = new WhoResponse();
        foreach (NetworkDocument network in cache.Networks)
        {
            PoolDocument? pool = network.Pools.FirstOrDefault(each => each.Network.Contains(address));
            // A part that is lent lies in a block.
            BlockDocument? block = cache.Blocks(network.Name).Where(each => IPNetwork.Parse(each.Prefix).Contains(address) && (each.LentBy is null || each.Holder is not null))
                .MaxBy(each => IPNetwork.Parse(each.Prefix).PrefixLength);
            RouteDocument? route = cache.List($"state/routes/{network.Name}/").Select(StateDocuments.Route)
                .Where(each => IPNetwork.Parse(each.Prefix).Contains(address)).MaxBy(each => IPNetwork.Parse(each.Prefix).PrefixLength);
            if (pool is null && block is null && route is null) continue;
            response.Findings.Add(new Finding
            {
                Network = network.Name,
                Pool = pool?.Prefix ?? "",
                Excluded = pool?.Excluded.Any(each => IPNetwork.Parse(each).Contains(address)) ?? false,
                Block = block is null ? null : StateMessages.Of(block),
                Reservation = cache.Find(StateKeys.Reservation(network.Name, address)) is { } entry ? StateMessages.Of(StateDocuments.Reservation(entry)) : null,
                Node = block?.Holder is { } holder && cache.Node(holder) is { } node ? StateMessages.Of(node) : null,
                Route = route is null ? null : StateMessages.Of(route),
            });
        }
        return response;
    }
}
