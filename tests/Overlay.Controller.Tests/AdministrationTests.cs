using Google.Protobuf;
using Overlay.Control.Stores;
using Overlay.Control.Stores.Sqlite;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using static Overlay.Controller.Tests.ControllerLab;

namespace Overlay.Controller.Tests;

/// <summary>What administrators may not do, and that nothing of it is done, nor of what they only ask for.</summary>
public sealed class AdministrationTests : IAsyncLifetime
{
    private ControllerLab _lab = null!;

    public async Task InitializeAsync()
    {
        _lab = await StartNewAsync(more: "nodes: { leaseSeconds: 600 }");
        await _lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16", "fd00:244::/64");
        using GrpcChannel channel = _lab.OpenNode("a");
        RegisterResponse registered = await RegisterAsync(channel, ControllerLab.Registration("a"));
        await AcquireAsync(channel, "a", registered);
        await _lab.AdministerAsync<ReserveRequest, ChangeResponse>("Reserve", new ReserveRequest { Address = "10.244.9.9", Owner = "printer" });
        await _lab.AdministerAsync<AddRouteRequest, ChangeResponse>("AddRoute", new AddRouteRequest { Route = Route("10.9.0.0/16") });
    }

    public async Task DisposeAsync() => await _lab.DisposeAsync();

    [Fact]
    public async Task Changes_ThatContradictTheState_AreRefusedWithAReasonAndChangeNothing()
    {
        (IMessage Request, string Reason)[] refused =
        [
            (Network("x", 43, "10.244.128.0/17"), "pool 10.244.128.0/17 overlaps 10.244.0.0/16 of network 'pods'; choose another prefix"),
            (Network("x", 43, "10.0.0.0/8"), "pool 10.0.0.0/8 overlaps 10.244.0.0/16 of network 'pods'"),
            (Network("x", 43, "10.60.0.0/16", "10.60.5.0/24"), "pool 10.60.5.0/24 overlaps 10.60.0.0/16 of network 'x'"),
            (Network("x", 42, "10.60.0.0/16"), "VNI 42 is that of network 'pods'"),
            (Network("pods", 43, "10.60.0.0/16"), "there is a network 'pods' already"),
            (Network("x", 1 << 24, "10.60.0.0/16"), "vni: 16777216 has more than 24 bits"),
            (Network("x", 43), "pools: there is none"),
            (Network("x", 43, "10.60.0.1/16"), "has host bits set; write 10.60.0.0/16"),
            (Network("x/y", 43, "10.60.0.0/16"), "name: 'x/y'"),
            (Network("x", 43, "10.9.1.0/24"), "pool 10.9.1.0/24 overlaps the static route 10.9.0.0/16 of network 'pods' to node 'a'; choose another prefix"),
            (Network("x", 43, "192.0.0.0/16"), "pool 192.0.0.0/16 holds the underlay address 192.0.2.1 of node 'a': tunnels to it would be routed into themselves; choose another prefix, or exclude"),
            (new AddPoolRequest { Network = "pods", Pool = new Pool { Prefix = "192.0.2.0/24", Excluded = { "192.0.2.1/32" } } }, "pool 192.0.2.0/24 holds the underlay address 192.0.2.1 of node 'a'"),
            (Network("x", 43, "10.60.0.0/31"), "pool: 10.60.0.0/31 is too small; use at most /30"),
            (Network("x", 43, "127.64.0.0/16"), "pool: 127.64.0.0/16 overlaps 127.0.0.0/8, whose addresses hosts keep to themselves"),
            (new AddPoolRequest { Network = "pods", Pool = new Pool { Prefix = "::/0" } }, "pool: ::/0 overlaps ::/96"),
            (new CreateNetworkRequest(), "network: it is missing"),
            (new AddPoolRequest { Network = "pods", Pool = new Pool { Prefix = "10.244.0.0/24" } }, "overlaps 10.244.0.0/16 of network 'pods'"),
            (new AddPoolRequest { Network = "none", Pool = new Pool { Prefix = "10.60.0.0/24" } }, "there is no network 'none'"),
            (new AddPoolRequest { Network = "pods", Pool = new Pool { Prefix = "10.60.0.0/24", BlockLength = 20 } }, "blocks of /20 do not go into 10.60.0.0/24; use a length from 24 to 30"),
            (new AddPoolRequest { Network = "pods", Pool = new Pool { Prefix = "10.60.0.0/24", Excluded = { "10.61.0.0/28" } } }, "excluded: 10.61.0.0/28 is not inside 10.60.0.0/24"),
            (new SetMtuRequest { Network = "pods", Mtu = 1000 }, "mtu: 1000 is not from 1280 to 65521"),
            (new SetMtuRequest { Network = "pods", Mtu = -1 }, "mtu: -1 is not from 1280 to 65521"),
            (new DeleteNetworkRequest { Name = "pods" }, "nodes hold blocks of network 'pods': a"),
            (new DeleteNetworkRequest { Name = "none" }, "there is no network 'none'"),
            (new DrainNodeRequest { Name = "none" }, "there is no node 'none'"),
            (new RemoveNodeRequest { Name = "a" }, "the node 'a' is alive"),
            (new RemoveNodeRequest { Name = "none" }, "there is no node 'none'"),
            (new ReserveRequest { Address = "10.99.0.1", Owner = "x" }, "10.99.0.1 is in no pool of any network"),
            (new ReserveRequest { Address = "10.244.9.9", Owner = "scanner" }, "is reserved for 'printer'"),
            (new ReserveRequest { Address = "10.244.9.8", Owner = "a\nb" }, "owner: "),
            (new ReserveRequest { Address = "10.244.9.8", Owner = "x", Network = "none" }, "there is no network 'none'"),
            (new ReserveRequest { Address = "nonsense", Owner = "x" }, "address: 'nonsense' is no IP address"),
            (new ReleaseReservationRequest { Address = "10.244.9.8" }, "10.244.9.8 is not reserved"),
            (new AddRouteRequest { Route = Route("10.244.1.0/24") }, "route 10.244.1.0/24 overlaps the pool 10.244.0.0/16"),
            (new AddRouteRequest { Route = Route("10.9.0.0/16", "none") }, "there is no node 'none'"),
            (new DeleteRouteRequest { Route = Route("10.8.0.0/16") }, "network 'pods' has no static route 10.8.0.0/16"),
        ];
        GetStateResponse before = await _lab.StateAsync();
        foreach ((IMessage request, string reason) in refused)
        {
            GrpcException exception = await Assert.ThrowsAsync<GrpcException>(() => ChangeAsync(request));
            Assert.True(exception.Message.Contains(reason, StringComparison.Ordinal), $"{request.Descriptor.Name} {request}: {exception.Message}");
        }
        Assert.Equal(before, await _lab.StateAsync());
    }

    [Fact]
    public async Task Changes_WithDryRun_AreToldAndNotMade()
    {
        IMessage[] changes =
        [
            new CreateNetworkRequest { Network = Network("x", 43, "10.60.0.0/16").Network, DryRun = true },
            new AddPoolRequest { Network = "pods", Pool = new Pool { Prefix = "10.60.0.0/16" }, DryRun = true },
            new SetMtuRequest { Network = "pods", Mtu = 1400, DryRun = true },
            new DeleteNetworkRequest { Name = "pods", Force = true, DryRun = true },
            new DrainNodeRequest { Name = "a", DryRun = true },
            new RemoveNodeRequest { Name = "a", Force = true, DryRun = true },
            new ReserveRequest { Address = "10.244.9.8", Owner = "x", DryRun = true },
            new ReleaseReservationRequest { Address = "10.244.9.9", DryRun = true },
            new AddRouteRequest { Route = Route("10.8.0.0/16"), DryRun = true },
            new DeleteRouteRequest { Route = Route("10.9.0.0/16"), DryRun = true },
        ];
        Assert.Equal(changes.Select(change => change.Descriptor.Name), ControlReflection.Descriptor.MessageTypes.Where(type => type.FindFieldByName("dry_run") is not null).Select(type => type.Name));
        GetStateResponse before = await _lab.StateAsync();

        foreach (IMessage change in changes)
        {
            ChangeResponse planned = await ChangeAsync(change);
            Assert.True(planned.Changes.Count > 0 && planned.Revision == 0, $"{change.Descriptor.Name}: {planned}");
        }

        Assert.Equal(before, await _lab.StateAsync());
    }

    [Fact]
    public async Task RemoveNode_WhoseDocumentIsGone_FreesItsBlocksAsTheCheckSays()
    {
        await using (var store = new SqliteStore(_lab.Database))
            Assert.True((await store.CommitAsync(new StoreTransaction().Delete("state/nodes/a").Delete("alive/a"), CancellationToken.None)).IsCommitted);
        await _lab.WaitForStateAsync(state => state.Nodes.Count == 0);
        CheckResponse found = await CheckAsync();
        Assert.Contains("overlay node remove a", found.Problems.Select(problem => problem.Remedy));

        await ChangeAsync(new RemoveNodeRequest { Name = "a" });

        Assert.Empty((await CheckAsync()).Problems);
        Assert.Equal(("", "a"), (await _lab.StateAsync()).Blocks.Select(block => (block.Holder, block.History.Single().Node)).Single());
    }

    [Fact]
    public async Task RegisterNode_InsideAPool_IsRefusedNamingBothOnBothSidesAndTakenElsewhere()
    {
        using GrpcChannel channel = _lab.OpenNode("b");

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => RegisterAsync(channel, ControllerLab.Registration("b", "n", underlay: "10.244.77.1")));

        const string Reason = "node 'b' is at 10.244.77.1, which is in pool 10.244.0.0/16 of network 'pods': tunnels to it would be routed into themselves";
        Assert.Equal((GrpcStatusCode.FailedPrecondition, $"{Reason}; name an address outside the pools ('underlay: addresses:'), or create network 'pods' anew with other pools"), (refused.Status, refused.Message));
        await _lab.WaitForLogAsync($"registration refused: {Reason}");
        Assert.DoesNotContain((await _lab.StateAsync()).Nodes, node => node.Name == "b");
        Assert.Equal(1, (await RegisterAsync(channel, ControllerLab.Registration("b", "n", underlay: "10.60.0.1"))).Generation);
        // What is wholly excluded is routed to nobody.
        await ChangeAsync(new AddPoolRequest { Network = "pods", Pool = new Pool { Prefix = "10.60.0.0/16", Excluded = { "10.60.0.0/26" } } });
        Assert.Empty((await CheckAsync()).Problems);
    }

    private Task<CheckResponse> CheckAsync() => _lab.AdministerAsync<CheckRequest, CheckResponse>("Check", new CheckRequest());

    private Task<ChangeResponse> ChangeAsync(IMessage request) => request switch
    {
        CreateNetworkRequest each => Administer(each),
        AddPoolRequest each => Administer(each),
        SetMtuRequest each => Administer(each),
        DeleteNetworkRequest each => Administer(each),
        DrainNodeRequest each => Administer(each),
        RemoveNodeRequest each => Administer(each),
        ReserveRequest each => Administer(each),
        ReleaseReservationRequest each => Administer(each),
        AddRouteRequest each => Administer(each),
        DeleteRouteRequest each => Administer(each),
        _ => throw new ArgumentOutOfRangeException(nameof(request), request.Descriptor.Name),
    };

    private Task<ChangeResponse> Administer<TRequest>(TRequest request)
        where TRequest : class, IMessage<TRequest>, new() => _lab.AdministerAsync<TRequest, ChangeResponse>(request.Descriptor.Name[..^"Request".Length], request);

    private static CreateNetworkRequest Network(string name, uint vni, params string[] pools) =>
        new() { Network = new Network { Name = name, Vni = vni, Pools = { pools.Select(pool => new Pool { Prefix = pool }) } } };

    private static StaticRoute Route(string prefix, string node = "a") => new() { Network = "pods", Prefix = prefix, Node = node };
}
