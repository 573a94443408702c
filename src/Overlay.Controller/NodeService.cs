using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using Google.Protobuf.Reflection;
using Microsoft.Extensions.Logging;
using Overlay.Control.Ipam;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Wire;

namespace Overlay.Controller;

/// <summary>What nodes call.</summary>
internal sealed class NodeService(
    IControlStore store, StateCache cache, BlockLeases leases, BlockLending lending, Callers callers, StoreCalls calls, StreamLimits streams, NodeLeaseOptions options, ILogger log)
{
    private const int MostLabels = 64;

    private readonly ClaimsOnly _claimsOnly = new();

    public void AddTo(GrpcRoutes routes)
    {
        var service = ControlReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Nodes");
        routes
            .Unary(new GrpcMethod<RegisterRequest, RegisterResponse>(service, "Register"), (request, call) => calls.RunAsync(() => RegisterAsync(request, call)))
            .Unary(new GrpcMethod<RenewRequest, RenewResponse>(service, "Renew"), (request, call) => calls.RunAsync(() => RenewAsync(request, call)))
            .ServerStreamingFrames(new GrpcMethod<WatchRequest, WatchResponse>(service, "Watch"), (request, call) => WatchAsync(request, call, call.Cancellation))
            .Unary(
                new GrpcMethod<AcquireBlockRequest, AcquireBlockResponse>(service, "AcquireBlock"),
                (request, call) => calls.RunAsync(() => AcquireAsync(request, call)))
            .Unary(
                new GrpcMethod<ReleaseBlockRequest, ReleaseBlockResponse>(service, "ReleaseBlock"),
                (request, call) => calls.RunAsync(() => ReleaseAsync(request, call)))
            .Unary(
                new GrpcMethod<LendBlockRequest, LendBlockResponse>(service, "LendBlock"),
                (request, call) => calls.RunAsync(() => LendAsync(request, call)));
    }

    private async Task<RegisterResponse> RegisterAsync(RegisterRequest request, GrpcCall call)
    {
        callers.RequireNode(call, Requests.Name("node", request.Node));
        NodeDocument wanted = Read(request);
        string key = StateKeys.Node(wanted.Name);
        string alive = StateKeys.NodeAlive(wanted.Name);
        while (true)
        {
            long pools = await CheckUnderlayAsync(wanted, call.Cancellation).ConfigureAwait(false);
            StoreEntry? entry = await store.FindAsync(key, call.Cancellation).ConfigureAwait(false);
            NodeDocument? known = entry is null ? null : StateDocuments.Node(entry);
            if (known is not null) CheckClaim(known, request);
            if (known is not null && known.Boot != request.Boot && known.Boot.Length > 0 && request.Boot.Length > 0
                && await store.FindAsync(alive, call.Cancellation).ConfigureAwait(false) is not null)
                throw Refused(known, $"machine {known.Machine} is alive as '{known.Name}' at {string.Join(", ", known.Underlay)} since another boot: another machine has a copy of its disk, or this one has just booted and is taken when its lease has run out");
            long lease = await store.GrantLeaseAsync(options.Lease, call.Cancellation).ConfigureAwait(false);
            NodeDocument document = wanted with
            {
                Lease = lease,
                GraceSeconds = (int)options.Grace.TotalSeconds,
                Generation = known?.Attempt == request.Attempt ? known.Generation : Math.Max(known?.Generation ?? 0, request.Generation) + 1,
                Draining = known?.Draining ?? false,
                Registered = DateTimeOffset.UtcNow,
            };
            CommitResult result = await store.CommitAsync(
                new StoreTransaction()
                    .Require(NetworkChanges.Guard, pools)
                    .Require(key, entry?.Revision ?? 0)
                    .Put(key, StateDocuments.Encode(document))
                    .Put(alive, Encoding.UTF8.GetBytes(document.Machine), lease),
                call.Cancellation).ConfigureAwait(false);
            if (!result.IsCommitted)
            {
                await store.RevokeLeaseAsync(lease, call.Cancellation).ConfigureAwait(false);
                continue;
            }
            await cache.WaitAsync(result.Revision, call.Cancellation).ConfigureAwait(false);
            log.LogInformation(
                "node {Node} registered, generation {Generation}, at {Underlay}", document.Name, document.Generation, string.Join(',', document.Underlay));
            return new RegisterResponse
            {
                Generation = document.Generation,
                Lease = lease,
                LeaseSeconds = (int)options.Lease.TotalSeconds,
                Revision = result.Revision,
                HoldSeconds = options.HoldSeconds,
            };
        }
    }

    /// <summary>Refuses a node that is reached at an address of a network: tunnels to it would be routed into themselves.</summary>
    /// <returns>Revision of the guard of the networks that were looked at.</returns>
    private async Task<long> CheckUnderlayAsync(NodeDocument node, CancellationToken cancellation)
    {
        long pools = (await store.FindAsync(NetworkChanges.Guard, cancellation).ConfigureAwait(false))?.Revision ?? 0;
        await cache.WaitAsync(pools, cancellation).ConfigureAwait(false);
        foreach (NetworkDocument network in cache.Networks)
        {
            foreach (PoolDocument pool in network.Pools)
            {
                if (node.Underlay.FirstOrDefault(each => StateChecks.Holds(pool, IPAddress.Parse(each))) is not { } address) continue;
                string reason = $"node '{node.Name}' is at {address}, which is in pool {pool.Prefix} of network '{network.Name}': tunnels to it would be routed into themselves";
                log.LogWarning("registration refused: {Reason}", reason);
                throw new GrpcException(
                    GrpcStatusCode.FailedPrecondition, $"{reason}; name an address outside the pools ('underlay: addresses:'), or create network '{network.Name}' anew with other pools");
            }
        }
        return pools;
    }

    /// <summary>Tells a machine that comes back from another one that has the same name, or the same identity by a copied disk.</summary>
    private void CheckClaim(NodeDocument known, RegisterRequest request)
    {
        string? wrong = known.Machine != request.Machine
            ? $"the name '{known.Name}' is that of machine {known.Machine} at {string.Join(", ", known.Underlay)}, and this is machine {request.Machine}"
            // One that knows of more was registered after a backup that was restored since.
            : known.Attempt != request.Attempt && known.Generation > request.Generation
                ? $"machine {known.Machine} registered '{known.Name}' for the {known.Generation}th time at {string.Join(", ", known.Underlay)}, and this one knows of {request.Generation}: "
                    + "another machine has the same identity, or this one lost its state"
                : null;
        if (wrong is not null) throw Refused(known, wrong);
    }

    private GrpcException Refused(NodeDocument known, string reason)
    {
        log.LogWarning("registration refused: {Reason}", reason);
        return new GrpcException(
            GrpcStatusCode.AlreadyExists, $"{reason}; give one of them another name, or, if the other is gone for good, 'overlay node remove {known.Name}'");
    }

    private static NodeDocument Read(RegisterRequest request)
    {
        IPAddress[] underlay = [.. request.Underlay.Select(text => Requests.Parse<IPAddress>("underlay", text, ConfigurationValues.UnicastAddress))];
        if (underlay.Length == 0) throw Requests.Invalid("underlay: the node has no address; name at least one");
        if (underlay.GroupBy(address => address.AddressFamily).Any(family => family.Count() > 1)) throw Requests.Invalid("underlay: more than one address of a family; name one");
        if (request.Generation < 0) throw Requests.Invalid($"generation: {request.Generation} is negative");
        if (request.Labels.Count > MostLabels) throw Requests.Invalid($"labels: there are {request.Labels.Count}; give at most {MostLabels}");
        return new NodeDocument(
            request.Node, Requests.Text("machine", request.Machine), 0, [.. underlay.Select(address => address.ToString())],
            Requests.Parse<MacAddress>("mac", request.Mac, ConfigurationValues.Mac).ToString(),
            request.Zone.Length == 0 ? null : Requests.Text("zone", request.Zone),
            request.Labels.ToDictionary(label => Requests.Text("labels", label.Key), label => label.Value.Length == 0 ? "" : Requests.Text("labels", label.Value)))
        {
            Attempt = Requests.Text("attempt", request.Attempt),
            Boot = request.Boot.Length == 0 ? "" : Requests.Text("boot", request.Boot),
        };
    }

    private async Task<RenewResponse> RenewAsync(RenewRequest request, GrpcCall call)
    {
        callers.RequireNode(call, request.Node);
        await RequireGenerationAsync(request.Node, request.Generation, call.Cancellation).ConfigureAwait(false);
        await RequireLeaseAsync(request.Node, request.Lease, call.Cancellation).ConfigureAwait(false);
        if (!await store.RenewLeaseAsync(request.Lease, call.Cancellation).ConfigureAwait(false))
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"the lease of node '{request.Node}' has run out; register again");
        return new RenewResponse();
    }

    private async IAsyncEnumerable<GrpcFrame<WatchResponse>> WatchAsync(WatchRequest request, GrpcCall call, [EnumeratorCancellation] CancellationToken cancellation)
    {
        callers.RequireNode(call, request.Node);
        using IDisposable open = streams.Begin(callers.NameOf(call));
        await using ConfiguredAsyncDisposable guard = callers.Guard(call, request.Node).ConfigureAwait(false);
        // What the node knows of another history than this is worth nothing.
        bool isOfThis = request.Mark.Length == 0 || request.Mark == cache.MarkAt(request.After);
        if (!isOfThis)
        {
            _claimsOnly.Begin();
            yield return new GrpcFrame<WatchResponse>(new WatchResponse { Reset = true, More = true, Restored = true });
        }
        long after = isOfThis ? request.After : 0;
        await foreach (GrpcFrame<WatchResponse> response in cache.Feed.WatchAsync(after, cancellation).ConfigureAwait(false)) yield return response;
    }

    private async Task<AcquireBlockResponse> AcquireAsync(AcquireBlockRequest request, GrpcCall call)
    {
        callers.RequireNode(call, request.Node);
        await RequireGenerationAsync(request.Node, request.Generation, call.Cancellation).ConfigureAwait(false);
        IPNetwork? wanted = request.Prefix.Length == 0 ? null : Requests.Prefix("prefix", request.Prefix);
        if (wanted is null && _claimsOnly.IsSo)
            throw new GrpcException(
                GrpcStatusCode.ResourceExhausted,
                $"a backup was restored, and nodes are just claiming the blocks that it does not know to be theirs: network '{request.Network}' has no other block for a few seconds; ask again");
        bool isIPv6 = wanted is { } prefix ? prefix.BaseAddress.AddressFamily == AddressFamily.InterNetworkV6 : request.Ipv6;
        BlockLease lease = await leases.LeaseAsync(
            Requests.Name("network", request.Network), request.Node, isIPv6 ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork,
            call.Cancellation, wanted).ConfigureAwait(false);
        if (lease.Block is { } block)
        {
            await lending.WithdrawAsync(request.Network, request.Node, isIPv6, call.Cancellation).ConfigureAwait(false);
            return new AcquireBlockResponse { Prefix = block.ToString(), Revision = lease.Revision };
        }
        string wish = "";
        if (lease.Status == BlockLeaseStatus.Exhausted && cache.Network(request.Network) is { Borrowing: true })
        {
            await lending.WishAsync(request.Network, request.Node, isIPv6, call.Cancellation).ConfigureAwait(false);
            wish = "; other nodes are asked to lend a part of theirs";
        }
        throw new GrpcException(
            lease.Status switch
            {
                BlockLeaseStatus.Exhausted => GrpcStatusCode.ResourceExhausted,
                BlockLeaseStatus.NoSuchNetwork => GrpcStatusCode.NotFound,
                _ => GrpcStatusCode.FailedPrecondition,
            },
            lease.Problem + wish);
    }

    private async Task<LendBlockResponse> LendAsync(LendBlockRequest request, GrpcCall call)
    {
        callers.RequireNode(call, request.Node);
        await RequireGenerationAsync(request.Node, request.Generation, call.Cancellation).ConfigureAwait(false);
        BlockLoan loan = await lending.LendAsync(
            Requests.Name("network", request.Network), request.Node, request.Generation, Requests.Prefix("prefix", request.Prefix), Requests.Name("to", request.To),
            call.Cancellation).ConfigureAwait(false);
        return loan.Status switch
        {
            BlockLendingStatus.Lent => new LendBlockResponse { Revision = loan.Revision },
            BlockLendingStatus.Superseded => throw Superseded(request.Node, request.Generation),
            _ => throw new GrpcException(GrpcStatusCode.InvalidArgument, loan.Problem!),
        };
    }

    private async Task<ReleaseBlockResponse> ReleaseAsync(ReleaseBlockRequest request, GrpcCall call)
    {
        callers.RequireNode(call, request.Node);
        await RequireGenerationAsync(request.Node, request.Generation, call.Cancellation).ConfigureAwait(false);
        BlockReturn returned = await leases.ReturnAsync(
            Requests.Name("network", request.Network), request.Node, request.Generation, Requests.Prefix("prefix", request.Prefix), call.Cancellation).ConfigureAwait(false);
        if (returned.Status == BlockReturnStatus.Superseded) throw Superseded(request.Node, request.Generation);
        return new ReleaseBlockResponse { Revision = returned.Revision };
    }

    /// <summary>What an earlier registration says counts no more.</summary>
    private async Task RequireGenerationAsync(string node, long generation, CancellationToken cancellation)
    {
        if (cache.Node(node)?.Generation == generation) return;
        // Another controller may know more than this one has heard of yet.
        StoreEntry entry = await store.FindAsync(StateKeys.Node(Requests.Name("node", node)), cancellation).ConfigureAwait(false)
            ?? throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"the node '{node}' is not registered; register it");
        if (StateDocuments.Node(entry).Generation != generation) throw Superseded(node, generation);
    }

    /// <summary>A node renews its own lease and nobody else's. Registrations of before leases were written down have none.</summary>
    private async Task RequireLeaseAsync(string node, long lease, CancellationToken cancellation)
    {
        if (cache.Node(node)?.Lease == lease) return;
        StoreEntry? entry = await store.FindAsync(StateKeys.Node(node), cancellation).ConfigureAwait(false);
        if (entry is null || (StateDocuments.Node(entry).Lease is not 0 and var own && own != lease))
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"lease {lease} is not that of node '{node}'; register again");
    }

    private static GrpcException Superseded(string node, long generation) =>
        new(GrpcStatusCode.FailedPrecondition, $"generation {generation} of node '{node}' is not the one that registered last; register again");
}
