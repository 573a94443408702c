using Overlay.Control.Stores;
using Overlay.Control.Stores.Sqlite;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using static Overlay.Controller.Tests.ControllerLab;

namespace Overlay.Controller.Tests;

/// <summary>What nodes call: names, generations, leases, blocks, the watch.</summary>
public sealed class NodeTests : IAsyncLifetime
{
    private ControllerLab _lab = null!;

    public async Task InitializeAsync()
    {
        _lab = await ControllerLab.StartNewAsync(more: "nodes: { leaseSeconds: 2, graceSeconds: 1 }\nlimits: { requestBytes: 4096, streamsPerClient: 2 }");
        await _lab.CreateNetworkAsync("pods", 42, "10.244.0.0/24", "fd00:244::/112");
    }

    public async Task DisposeAsync() => await _lab.DisposeAsync();

    [Fact]
    public async Task Register_SecondMachineOfTheSameName_IsRefusedAndTheFirstStays()
    {
        using GrpcChannel channel = _lab.OpenNode("a");
        RegisterResponse first = await RegisterAsync(channel, ControllerLab.Registration("a", "one"));

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => RegisterAsync(channel, ControllerLab.Registration("a", "two", underlay: "192.0.2.2")));

        Assert.Equal(GrpcStatusCode.AlreadyExists, refused.Status);
        Assert.Contains("the name 'a' is that of machine one at 192.0.2.1, and this is machine two", refused.Message, StringComparison.Ordinal);
        Assert.Contains("overlay node remove a", refused.Message, StringComparison.Ordinal);
        await RenewAsync(channel, "a", first);
    }

    [Fact]
    public async Task Register_CopyOfTheMachine_IsRefusedByItsGeneration()
    {
        using GrpcChannel channel = _lab.OpenNode("a");
        RegisterResponse first = await RegisterAsync(channel, ControllerLab.Registration("a"));
        RegisterResponse repeated = await RegisterAsync(channel, ControllerLab.Registration("a"));
        RegisterResponse restarted = await RegisterAsync(channel, ControllerLab.Registration("a", generation: first.Generation, attempt: "b", underlay: "192.0.2.9"));

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => RegisterAsync(channel, ControllerLab.Registration("a", generation: first.Generation, attempt: "c")));

        Assert.Equal((1, 1, 2), (first.Generation, repeated.Generation, restarted.Generation));
        Assert.Equal(GrpcStatusCode.AlreadyExists, refused.Status);
        Assert.Contains("another machine has the same identity", refused.Message, StringComparison.Ordinal);
        Node node = (await _lab.StateAsync()).Nodes.Single();
        Assert.Equal(["192.0.2.9"], node.Underlay);
        GrpcException late = await Assert.ThrowsAsync<GrpcException>(() => RenewAsync(channel, "a", first));
        Assert.Equal(GrpcStatusCode.FailedPrecondition, late.Status);
    }

    /// <summary>A copy has the very next attempt on its disk that the original has.</summary>
    [Fact]
    public async Task Register_CopyOfTheDiskWhileTheOriginalLives_IsRefusedAndTheOriginalStays()
    {
        await using ControllerLab lab = await StartNewAsync(more: "nodes: { leaseSeconds: 600 }");
        using GrpcChannel channel = lab.OpenNode("a");
        RegisterResponse first = await RegisterAsync(channel, Booted("original", 0, "a", "192.0.2.1"));

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => RegisterAsync(channel, Booted("copy", first.Generation, "b", "192.0.2.9")));

        Assert.Equal(GrpcStatusCode.AlreadyExists, refused.Status);
        Assert.Contains("another machine has a copy of its disk", refused.Message, StringComparison.Ordinal);
        await RenewAsync(channel, "a", first);
        RegisterResponse again = await RegisterAsync(channel, Booted("original", first.Generation, "b", "192.0.2.2"));
        refused = await Assert.ThrowsAsync<GrpcException>(() => RegisterAsync(channel, Booted("copy", first.Generation, "b", "192.0.2.9")));
        Assert.Equal(GrpcStatusCode.AlreadyExists, refused.Status);
        Assert.Equal(["192.0.2.2"], (await lab.StateAsync()).Nodes.Single().Underlay);

        // The original itself, booted anew, when its lease has run out.
        await using (var store = new SqliteStore(lab.Database)) Assert.True((await store.CommitAsync(new StoreTransaction().Delete("alive/a"), CancellationToken.None)).IsCommitted);
        Assert.Equal(again.Generation + 1, (await RegisterAsync(channel, Booted("next", again.Generation, "c", "192.0.2.1"))).Generation);

        static RegisterRequest Booted(string boot, long generation, string attempt, string underlay)
        {
            RegisterRequest request = ControllerLab.Registration("a", generation: generation, attempt: attempt, underlay: underlay);
            request.Boot = boot;
            return request;
        }
    }

    [Fact]
    public async Task Register_MachineThatIsAheadOfARestoredStore_IsTaken()
    {
        using GrpcChannel channel = _lab.OpenNode("a");
        await RegisterAsync(channel, ControllerLab.Registration("a"));

        RegisterResponse ahead = await RegisterAsync(channel, ControllerLab.Registration("a", generation: 7, attempt: "b"));

        Assert.Equal(8, ahead.Generation);
    }

    [Fact]
    public async Task Renew_LeaseOfAnotherNode_IsRefused()
    {
        using GrpcChannel a = _lab.OpenNode("a");
        using GrpcChannel b = _lab.OpenNode("b");
        RegisterResponse first = await RegisterAsync(a, ControllerLab.Registration("a"));
        RegisterResponse second = await RegisterAsync(b, ControllerLab.Registration("b", underlay: "192.0.2.2"));

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => NodesAsync<RenewRequest, RenewResponse>(
            b, "Renew", new RenewRequest { Node = "b", Lease = first.Lease, Generation = second.Generation }));

        Assert.Equal(GrpcStatusCode.FailedPrecondition, refused.Status);
        Assert.Contains("is not that of node 'b'", refused.Message, StringComparison.Ordinal);
        await RenewAsync(b, "b", second);
    }

    [Fact]
    public async Task Lease_RunOut_KeepsTheBlocksForTheGraceAndThenTakesThemBack()
    {
        using GrpcChannel channel = _lab.OpenNode("a");
        RegisterResponse registered = await RegisterAsync(channel, ControllerLab.Registration("a"));
        AcquireBlockResponse block = await AcquireAsync(channel, "a", registered);

        GetStateResponse lost = await _lab.WaitForStateAsync(state => state.Nodes.Single().LostSince > 0);
        GetStateResponse returned = await _lab.WaitForStateAsync(state => state.Blocks.Single().Holder.Length == 0);

        Assert.Equal("a", lost.Blocks.Single(each => each.Prefix == block.Prefix).Holder);
        Assert.Equal("a", returned.Blocks.Single().History.Single().Node);
        GrpcException late = await Assert.ThrowsAsync<GrpcException>(() => RenewAsync(channel, "a", registered));
        Assert.Equal(GrpcStatusCode.FailedPrecondition, late.Status);
        RegisterResponse again = await RegisterAsync(channel, ControllerLab.Registration("a", generation: registered.Generation, attempt: "b"));
        await _lab.WaitForStateAsync(state => state.Nodes.Single().LostSince == 0);
        Assert.Equal(block.Prefix, (await AcquireAsync(channel, "a", again, block.Prefix)).Prefix);
    }

    [Fact]
    public async Task AcquireBlock_PoolUsedUp_NamesPoolHoldersAndRemedy()
    {
        using GrpcChannel channel = _lab.OpenNode("a");
        RegisterResponse registered = await RegisterAsync(channel, ControllerLab.Registration("a"));
        for (int i = 0; i < 4; i++) await AcquireAsync(channel, "a", registered);

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => AcquireAsync(channel, "a", registered));

        Assert.Equal(GrpcStatusCode.ResourceExhausted, refused.Status);
        Assert.Contains("10.244.0.0/24 (4 blocks of /26); largest holders: a 4; add a pool", refused.Message, StringComparison.Ordinal);
        ShowPoolsResponse pools = await _lab.AdministerAsync<ShowPoolsRequest, ShowPoolsResponse>("ShowPools", new ShowPoolsRequest());
        Assert.Equal(("4", "4", "0"), (pools.Pools[0].Blocks, pools.Pools[0].Leased, pools.Pools[0].Free));
    }

    [Fact]
    public async Task Watch_AfterARevision_TellsWhatChangedSinceAndOnlyThat()
    {
        using var deadline = new CancellationTokenSource(ControllerLab.Patience);
        using GrpcChannel channel = _lab.OpenNode("a");
        RegisterResponse registered = await RegisterAsync(channel, ControllerLab.Registration("a"));

        WatchResponse whole = await NextAsync(channel, 0, deadline.Token);
        AcquireBlockResponse block = await AcquireAsync(channel, "a", registered);
        WatchResponse change = await NextAsync(channel, whole.Revision, deadline.Token);

        Assert.True(whole.Reset);
        Assert.Equal(["state/networks/pods", "state/nodes/a"], whole.Changes.Select(each => each.Key).Order());
        Assert.False(change.Reset);
        Assert.Equal((block.Prefix, "a"), (change.Changes.Single().Block.Prefix, change.Changes.Single().Block.Holder));
    }

    [Fact]
    public async Task Watch_MoreStreamsThanAllowed_IsRefusedUntilOneEnds()
    {
        using var deadline = new CancellationTokenSource(ControllerLab.Patience);
        using GrpcChannel channel = _lab.OpenNode("a");
        await RegisterAsync(channel, ControllerLab.Registration("a"));
        IAsyncEnumerator<WatchResponse>[] open = [.. Enumerable.Range(0, 2).Select(_ => ControllerLab.Watch(channel, "a", 0, deadline.Token).GetAsyncEnumerator(deadline.Token))];
        foreach (IAsyncEnumerator<WatchResponse> each in open) Assert.True(await each.MoveNextAsync());

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => NextAsync(channel, 0, deadline.Token));
        foreach (IAsyncEnumerator<WatchResponse> each in open) await each.DisposeAsync();

        Assert.Equal(GrpcStatusCode.ResourceExhausted, refused.Status);
        Assert.Contains("node 'a' has 2 streams open", refused.Message, StringComparison.Ordinal);
        while (true)
        {
            try
            {
                await NextAsync(channel, 0, deadline.Token);
                return;
            }
            catch (GrpcException exception) when (exception.Status == GrpcStatusCode.ResourceExhausted)
            {
                await Task.Delay(20, deadline.Token);
            }
        }
    }

    [Fact]
    public async Task Register_RequestLargerThanAllowed_IsRefused()
    {
        using GrpcChannel channel = _lab.OpenNode("a");
        RegisterRequest request = ControllerLab.Registration("a");
        request.Labels["x"] = new string('y', 5000);

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => RegisterAsync(channel, request));

        Assert.Equal(GrpcStatusCode.ResourceExhausted, refused.Status);
    }

    [Theory]
    [InlineData("mac", "zz", "mac: 'zz' is no MAC address")]
    [InlineData("underlay", "224.0.0.1", "underlay: '224.0.0.1' is no unicast address")]
    [InlineData("machine", "", "machine: '' is no text")]
    public async Task Register_BadValue_NamesFieldValueAndRemedy(string field, string value, string expected)
    {
        using GrpcChannel channel = _lab.OpenNode("a");
        RegisterRequest request = ControllerLab.Registration("a");
        if (field == "mac") request.Mac = value;
        else if (field == "machine") request.Machine = value;
        else request.Underlay[0] = value;

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => RegisterAsync(channel, request));

        Assert.Equal(GrpcStatusCode.InvalidArgument, refused.Status);
        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
    }
}
