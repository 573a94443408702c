using Overlay.Control.Stores;
using Overlay.Rpc.Control;

namespace Overlay.Control.Model;

/// <summary>Documents of the store as messages to nodes and administrators.</summary>
public static class StateMessages
{
    public static Network Of(NetworkDocument network) => new()
    {
        Name = network.Name,
        Vni = network.Vni,
        Encapsulation = network.Encapsulation,
        Mtu = network.Mtu ?? 0,
        Borrowing = network.Borrowing,
        Pools = { network.Pools.Select(Of) },
    };

    public static Pool Of(PoolDocument pool) => new() { Prefix = pool.Prefix, BlockLength = pool.BlockLength, Excluded = { pool.Excluded } };

    public static Node Of(NodeDocument node) => new()
    {
        Name = node.Name,
        Machine = node.Machine,
        Generation = node.Generation,
        Underlay = { node.Underlay },
        Mac = node.Mac,
        Zone = node.Zone ?? "",
        Labels = { node.Labels.ToDictionary() },
        Draining = node.Draining,
        LostSince = node.LostSince?.ToUnixTimeMilliseconds() ?? 0,
        Registered = node.Registered.ToUnixTimeMilliseconds(),
    };

    public static Block Of(BlockDocument block) => new()
    {
        Network = block.Network,
        Prefix = block.Prefix,
        Holder = block.Holder ?? "",
        LentBy = block.LentBy ?? "",
        Since = block.Since.ToUnixTimeMilliseconds(),
        History =
        {
            block.History.Select(tenure => new Tenure
            {
                Node = tenure.Node, From = tenure.From.ToUnixTimeMilliseconds(), To = tenure.To.ToUnixTimeMilliseconds(),
            }),
        },
    };

    public static Reservation Of(ReservationDocument reservation) => new()
    {
        Network = reservation.Network,
        Address = reservation.Address,
        Owner = reservation.Owner,
        Since = reservation.Since.ToUnixTimeMilliseconds(),
    };

    public static Wish Of(WishDocument wish) => new() { Network = wish.Network, Node = wish.Node, Ipv6 = wish.IsIPv6, Since = wish.Since.ToUnixTimeMilliseconds() };

    public static StaticRoute Of(RouteDocument route) => new() { Network = route.Network, Prefix = route.Prefix, Node = route.Node };

    /// <summary>What became of a key; a key that nodes know nothing of gives a change without a value.</summary>
    public static Change Of(string key, StoreEntry? entry)
    {
        var change = new Change { Key = key };
        if (entry is null) return change;
        switch (key.Split('/')[1])
        {
            case "networks":
                change.Network = Of(StateDocuments.Network(entry));
                break;
            case "nodes":
                change.Node = Of(StateDocuments.Node(entry));
                break;
            case "blocks":
                change.Block = Of(StateDocuments.Block(entry));
                break;
            case "reservations":
                change.Reservation = Of(StateDocuments.Reservation(entry));
                break;
            case "routes":
                change.Route = Of(StateDocuments.Route(entry));
                break;
            case "wishes":
                change.Wish = Of(StateDocuments.Wish(entry));
                break;
        }
        return change;
    }

    public static PoolDocument Document(Pool pool) => new(pool.Prefix, pool.BlockLength, [.. pool.Excluded]);

    public static NetworkDocument Document(Network network) => new(
        network.Name, network.Vni, network.Encapsulation, [.. network.Pools.Select(Document)], network.Mtu == 0 ? null : network.Mtu, network.Borrowing);
}
