using System.Net;
using System.Net.Sockets;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;

namespace Overlay.Controller;

/// <summary>Plans of what administrators do to networks, their pools, reservations and routes.</summary>
internal sealed class NetworkChanges(IControlStore store, StateCache cache)
{
    /// <summary>Changed with every network, pool and static route, so that two changes cannot each be good by itself and bad together.</summary>
    public const string Guard = "guards/networks";

    /// <summary>This host, loopback, link-local, multicast and reserved: no workload is reached there.</summary>
    private static readonly IPNetwork[] Special =
    [
        .. new[] { "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/96", "fe80::/10", "ff00::/8" }.Select(IPNetwork.Parse),
    ];

    private const int MostVni = (1 << 24) - 1;
    private const int LeastMtu = 68;
    private const int LeastIPv6Mtu = 1280;
    private const int MostMtu = 65_521;

    public async Task<ChangePlan> CreateAsync(Network? asked, CancellationToken cancellation)
    {
        if (asked is null) throw Requests.Invalid("network: it is missing");
        string name = Requests.Name("name", asked.Name);
        if (name.Length > 63) throw Requests.Invalid($"name: '{name}' has {name.Length} characters; use at most 63");
        if (asked.Vni > MostVni) throw Requests.Invalid($"vni: {asked.Vni} has more than 24 bits; use at most {MostVni}");
        string encapsulation = asked.Encapsulation.Length == 0 ? "vxlan" : asked.Encapsulation;
        if (encapsulation is not ("vxlan" or "geneve")) throw Requests.Invalid($"encapsulation: '{encapsulation}' is not known; write vxlan or geneve");
        if (asked.Pools.Count == 0) throw Requests.Invalid("pools: there is none; name at least one, such as 10.244.0.0/16");
        PoolDocument[] pools = [.. asked.Pools.Select(ReadPool)];
        int? mtu = ReadMtu(asked.Mtu, pools);
        var network = new NetworkDocument(name, asked.Vni, encapsulation, pools, mtu, asked.Borrowing);

        (StoreEntry? guard, NetworkDocument[] others) = await ReadAsync(cancellation).ConfigureAwait(false);
        if (others.Any(other => other.Name == name)) throw new GrpcException(GrpcStatusCode.AlreadyExists, $"there is a network '{name}' already; 'overlay network show {name}' shows it");
        if (others.FirstOrDefault(other => other.Vni == network.Vni) is { } same)
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"VNI {network.Vni} is that of network '{same.Name}'; choose another");
        for (int i = 0; i < pools.Length; i++)
        {
            RefuseOverlap(pools[i], others);
            RefuseOverlap(pools[i], [network with { Pools = pools[..i] }]);
        }
        await RefuseRoutesAsync(pools, cancellation).ConfigureAwait(false);
        await RefuseUnderlayAsync(pools, cancellation).ConfigureAwait(false);
        return new ChangePlan { Rest = () => Warning(pools) }
            .Put(Guard, guard, StateDocuments.Encode(network))
            .Put(StateKeys.Network(name), null, StateDocuments.Encode(network));
    }

    public async Task<ChangePlan> AddPoolAsync(string name, Pool? asked, CancellationToken cancellation)
    {
        if (asked is null) throw Requests.Invalid("pool: it is missing");
        PoolDocument pool = ReadPool(asked);
        (StoreEntry? guard, NetworkDocument[] all) = await ReadAsync(cancellation).ConfigureAwait(false);
        StoreEntry entry = await FindAsync(name, cancellation).ConfigureAwait(false);
        RefuseOverlap(pool, all);
        await RefuseRoutesAsync([pool], cancellation).ConfigureAwait(false);
        await RefuseUnderlayAsync([pool], cancellation).ConfigureAwait(false);
        NetworkDocument network = StateDocuments.Network(entry);
        NetworkDocument wider = network with { Pools = [.. network.Pools, pool] };
        ReadMtu(network.Mtu ?? 0, wider.Pools);
        return new ChangePlan { Rest = () => Warning([pool]) }.Put(Guard, guard, StateDocuments.Encode(wider)).Put(entry.Key, entry, StateDocuments.Encode(wider));
    }

    /// <param name="mtu">0: what each node's ways to the others leave.</param>
    public async Task<ChangePlan> SetMtuAsync(string name, int mtu, CancellationToken cancellation)
    {
        StoreEntry entry = await FindAsync(name, cancellation).ConfigureAwait(false);
        NetworkDocument network = StateDocuments.Network(entry);
        NetworkDocument changed = network with { Mtu = ReadMtu(mtu, network.Pools) };
        return network.Mtu == changed.Mtu ? new ChangePlan() : new ChangePlan().Put(entry.Key, entry, StateDocuments.Encode(changed));
    }

    /// <summary>Deletes a network and what belongs to it; also what a deletion left that was cut short.</summary>
    public async Task<ChangePlan> DeleteAsync(string name, bool force, CancellationToken cancellation)
    {
        StoreEntry? entry = await store.FindAsync(StateKeys.Network(Requests.Name("name", name)), cancellation).ConfigureAwait(false);
        if (entry is null)
        {
            ChangePlan left = Left(name);
            return left.IsEmpty && !force ? throw NotThere(name) : left;
        }
        // With its document gone, nothing of it is leased, reserved or routed: what there is then is all there is to delete.
        ChangePlan plan = new ChangePlan { Rest = () => Left(name) }.Delete(entry);
        StoreRange blocks = (await store.ReadAsync(StateKeys.Blocks(name), null, cancellation).ConfigureAwait(false))!;
        string[] holders = [.. blocks.Entries.Select(StateDocuments.Block).Where(block => block.Holder is not null).Select(block => block.Holder!).Distinct().Order()];
        string who = $"{string.Join(", ", holders.Take(3))}{(holders.Length > 3 ? $" and {holders.Length - 3} more" : "")}";
        if (holders.Length > 0 && !force)
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"nodes hold blocks of network '{name}': {who}; move their workloads away first, or use --force");
        if (holders.Length > 0) plan.Warnings.Add($"workloads of network '{name}' on {who} lose their connections");
        AddBelongings(plan, name);
        return plan;
    }

    /// <summary>Deletes what belongs to a network that does not exist.</summary>
    private ChangePlan Left(string name)
    {
        string key = StateKeys.Network(name);
        ChangePlan plan = new ChangePlan { Rest = () => Left(name) }.Require(key, null);
        if (cache.Find(key) is null) AddBelongings(plan, name);
        return plan;
    }

    private void AddBelongings(ChangePlan plan, string name)
    {
        foreach (string prefix in new[] { StateKeys.Blocks(name), $"state/reservations/{name}/", $"state/routes/{name}/", $"state/wishes/{name}/" })
        {
            foreach (StoreEntry each in cache.List(prefix)) plan.Delete(each);
        }
    }

    public async Task<ChangePlan> ReserveAsync(ReserveRequest request, CancellationToken cancellation)
    {
        IPAddress address = Requests.Parse<IPAddress>("address", request.Address, ConfigurationValues.UnicastAddress);
        string owner = Requests.Text("owner", request.Owner);
        StoreEntry network = await NetworkOfAsync(request.Network, address, cancellation).ConfigureAwait(false);
        string name = StateDocuments.Network(network).Name;
        string key = StateKeys.Reservation(name, address);
        StoreEntry? known = await store.FindAsync(key, cancellation).ConfigureAwait(false);
        if (known is not null)
        {
            ReservationDocument reservation = StateDocuments.Reservation(known);
            if (reservation.Owner == owner) return new ChangePlan();
            throw new GrpcException(
                GrpcStatusCode.AlreadyExists, $"{address} of network '{name}' is reserved for '{reservation.Owner}'; 'overlay ipam release {address}' first");
        }
        ChangePlan plan = new ChangePlan().Require(network.Key, network)
            .Put(key, null, StateDocuments.Encode(new ReservationDocument(name, address.ToString(), owner, DateTimeOffset.UtcNow)));
        StoreRange blocks = (await store.ReadAsync(StateKeys.Blocks(name), null, cancellation).ConfigureAwait(false))!;
        if (blocks.Entries.Select(StateDocuments.Block).FirstOrDefault(block => block.Holder is not null && IPNetwork.Parse(block.Prefix).Contains(address)) is { } block)
            plan.Warnings.Add($"node '{block.Holder}' holds {block.Prefix}: if a workload of it has {address} already, it keeps it");
        return plan;
    }

    public async Task<ChangePlan> ReleaseAsync(ReleaseReservationRequest request, CancellationToken cancellation)
    {
        IPAddress address = Requests.Parse<IPAddress>("address", request.Address, ConfigurationValues.UnicastAddress);
        StoreRange all = (await store.ReadAsync("state/reservations/", null, cancellation).ConfigureAwait(false))!;
        StoreEntry[] found =
        [
            .. all.Entries.Where(entry => StateDocuments.Reservation(entry) is var each && each.Address == address.ToString()
                && (request.Network.Length == 0 || each.Network == request.Network)),
        ];
        return found.Length == 1
            ? new ChangePlan().Delete(found[0])
            : throw new GrpcException(GrpcStatusCode.NotFound, $"{address} is not reserved{(request.Network.Length == 0 ? "" : $" in network '{request.Network}'")}; 'overlay network show' lists what is");
    }

    public async Task<ChangePlan> AddRouteAsync(StaticRoute? asked, CancellationToken cancellation)
    {
        if (asked is null) throw Requests.Invalid("route: it is missing");
        IPNetwork prefix = Requests.Prefix("prefix", asked.Prefix);
        StoreEntry network = await FindAsync(asked.Network, cancellation).ConfigureAwait(false);
        string node = StateKeys.Node(Requests.Name("node", asked.Node));
        StoreEntry nodeEntry = await store.FindAsync(node, cancellation).ConfigureAwait(false)
            ?? throw new GrpcException(GrpcStatusCode.NotFound, $"there is no node '{asked.Node}'; 'overlay node list' lists them");
        (StoreEntry? guard, NetworkDocument[] all) = await ReadAsync(cancellation).ConfigureAwait(false);
        if (all.SelectMany(each => each.Pools).FirstOrDefault(pool => StateChecks.Overlap(pool.Network, prefix)) is { } taken)
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"route {prefix} overlaps the pool {taken.Prefix}, whose blocks find their nodes by themselves; route what is outside the pools");
        string key = StateKeys.Route(asked.Network, prefix);
        StoreEntry? known = await store.FindAsync(key, cancellation).ConfigureAwait(false);
        byte[] route = StateDocuments.Encode(new RouteDocument(asked.Network, prefix.ToString(), asked.Node));
        return new ChangePlan().Require(network.Key, network).Require(node, nodeEntry).Put(Guard, guard, route).Put(key, known, route);
    }

    public async Task<ChangePlan> DeleteRouteAsync(StaticRoute? asked, CancellationToken cancellation)
    {
        if (asked is null) throw Requests.Invalid("route: it is missing");
        string key = StateKeys.Route(Requests.Name("network", asked.Network), Requests.Prefix("prefix", asked.Prefix));
        StoreEntry entry = await store.FindAsync(key, cancellation).ConfigureAwait(false)
            ?? throw new GrpcException(GrpcStatusCode.NotFound, $"network '{asked.Network}' has no static route {asked.Prefix}; 'overlay network show {asked.Network}' lists them");
        return new ChangePlan().Delete(entry);
    }

    private static int? ReadMtu(int mtu, IReadOnlyList<PoolDocument> pools)
    {
        if (mtu == 0) return null;
        bool hasIPv6 = pools.Any(pool => pool.IsIPv6);
        int least = hasIPv6 ? LeastIPv6Mtu : LeastMtu;
        return mtu >= least && mtu <= MostMtu
            ? mtu
            : throw Requests.Invalid($"mtu: {mtu} is not from {least} to {MostMtu}{(hasIPv6 ? ", as a pool of IPv6 demands (RFC 8200, 5)" : "")}; write auto, or a number of bytes that fits");
    }

    private static PoolDocument ReadPool(Pool asked)
    {
        IPNetwork prefix = Requests.Prefix("pool", asked.Prefix);
        bool isIPv6 = prefix.BaseAddress.AddressFamily == AddressFamily.InterNetworkV6;
        int bits = isIPv6 ? 128 : 32;
        foreach (IPNetwork special in Special)
        {
            if (StateChecks.Overlap(prefix, special)) throw Requests.Invalid($"pool: {prefix} overlaps {special}, whose addresses hosts keep to themselves (RFC 6890); use one such as 10.244.0.0/16 or fd00:244::/64");
        }
        if (prefix.PrefixLength > bits - 2) throw Requests.Invalid($"pool: {prefix} is too small; use at most /{bits - 2}, which is one block of four addresses");
        int length = asked.BlockLength != 0 ? asked.BlockLength
            : Math.Max(prefix.PrefixLength, isIPv6 ? PoolDocument.DefaultIPv6BlockLength : PoolDocument.DefaultIPv4BlockLength);
        if (length < prefix.PrefixLength || length < bits - 16 || length > bits - 2)
            throw Requests.Invalid($"pool: blocks of /{length} do not go into {prefix}; use a length from {Math.Max(prefix.PrefixLength, bits - 16)} to {bits - 2}");
        IPNetwork[] excluded = [.. asked.Excluded.Select(text => Requests.Prefix("excluded", text))];
        foreach (IPNetwork each in excluded)
        {
            if (!prefix.Contains(each.BaseAddress) || each.PrefixLength < prefix.PrefixLength) throw Requests.Invalid($"excluded: {each} is not inside {prefix}");
        }
        return new PoolDocument(prefix.ToString(), length, [.. excluded.Select(each => each.ToString())]);
    }

    private static void RefuseOverlap(PoolDocument pool, IEnumerable<NetworkDocument> networks)
    {
        foreach (NetworkDocument network in networks)
        {
            if (network.Pools.FirstOrDefault(other => StateChecks.Overlap(other.Network, pool.Network)) is { } taken)
                throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"pool {pool.Prefix} overlaps {taken.Prefix} of network '{network.Name}'; choose another prefix");
        }
    }

    /// <summary>What a static route leads elsewhere is no pool.</summary>
    private async Task RefuseRoutesAsync(PoolDocument[] pools, CancellationToken cancellation)
    {
        StoreRange range = (await store.ReadAsync("state/routes/", null, cancellation).ConfigureAwait(false))!;
        foreach (RouteDocument route in range.Entries.Select(StateDocuments.Route))
        {
            if (pools.FirstOrDefault(pool => StateChecks.Overlap(pool.Network, IPNetwork.Parse(route.Prefix))) is { } pool)
                throw new GrpcException(
                    GrpcStatusCode.FailedPrecondition,
                    $"pool {pool.Prefix} overlaps the static route {route.Prefix} of network '{route.Network}' to node '{route.Node}'; choose another prefix, or 'overlay network delete-route {route.Network} {route.Prefix}' first");
        }
    }

    /// <summary>What nodes are reached at is no pool: the tunnels to them would be routed into themselves.</summary>
    private async Task RefuseUnderlayAsync(PoolDocument[] pools, CancellationToken cancellation)
    {
        StoreRange range = (await store.ReadAsync(StateKeys.Nodes, null, cancellation).ConfigureAwait(false))!;
        if (Underlay(range.Entries.Select(StateDocuments.Node), pools) is { } taken)
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{taken}: tunnels to it would be routed into themselves; choose another prefix, or exclude the blocks around {taken.Address}");
    }

    /// <summary>A node that registered in the very moment is not refused any more.</summary>
    private ChangePlan Warning(PoolDocument[] pools)
    {
        var plan = new ChangePlan();
        if (Underlay(cache.Nodes, pools) is { } taken) plan.Warnings.Add($"{taken}, and registered just now: give it another address, or delete the network");
        return plan;
    }

    private static TakenAddress? Underlay(IEnumerable<NodeDocument> nodes, PoolDocument[] pools)
    {
        foreach (NodeDocument node in nodes)
        {
            foreach (PoolDocument pool in pools)
            {
                if (node.Underlay.FirstOrDefault(address => StateChecks.Holds(pool, IPAddress.Parse(address))) is { } address) return new TakenAddress(pool, address, node.Name);
            }
        }
        return null;
    }

    private sealed record TakenAddress(PoolDocument Pool, string Address, string Node)
    {
        public override string ToString() => $"pool {Pool.Prefix} holds the underlay address {Address} of node '{Node}'";
    }

    private async Task<(StoreEntry? Guard, NetworkDocument[] Networks)> ReadAsync(CancellationToken cancellation)
    {
        // The guard first: what changes after it was read makes the transaction fail.
        StoreEntry? guard = await store.FindAsync(Guard, cancellation).ConfigureAwait(false);
        StoreRange range = (await store.ReadAsync(StateKeys.Networks, null, cancellation).ConfigureAwait(false))!;
        return (guard, [.. range.Entries.Select(StateDocuments.Network)]);
    }

    private async Task<StoreEntry> FindAsync(string name, CancellationToken cancellation) =>
        await store.FindAsync(StateKeys.Network(Requests.Name("network", name)), cancellation).ConfigureAwait(false) ?? throw NotThere(name);

    private async Task<StoreEntry> NetworkOfAsync(string name, IPAddress address, CancellationToken cancellation)
    {
        StoreRange range = (await store.ReadAsync(StateKeys.Networks, null, cancellation).ConfigureAwait(false))!;
        if (name.Length > 0 && range.Entries.All(entry => StateDocuments.Network(entry).Name != name)) throw NotThere(name);
        return range.Entries.FirstOrDefault(entry => StateDocuments.Network(entry) is var network && (name.Length == 0 || network.Name == name)
                && network.Pools.Any(pool => pool.Network.Contains(address)))
            ?? throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{address} is in no pool of {(name.Length > 0 ? $"network '{name}'" : "any network")}; 'overlay ipam pools' lists them");
    }

    private static GrpcException NotThere(string name) => new(GrpcStatusCode.NotFound, $"there is no network '{name}'; 'overlay network list' lists them");
}
