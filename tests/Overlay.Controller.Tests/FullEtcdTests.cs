using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Testing;
using static Overlay.Controller.Tests.ControllerLab;

namespace Overlay.Controller.Tests;

/// <summary>A controller whose etcd has its NOSPACE alarm raised.</summary>
public sealed class FullEtcdTests
{
    [Fact]
    public async Task Controller_EtcdFull_RefusesChangesWithTheReasonKeepsWhoLivesAndGoesOnWhenThereIsRoom()
    {
        using var deadline = new CancellationTokenSource(Patience);
        using EtcdMember etcd = (await EtcdMember.StartAsync(1, quotaBytes: 1 << 20))[0];
        await using ControllerLab lab = await StartNewAsync($"{{ kind: etcd, endpoints: [{etcd.Client.OriginalString}] }}", "nodes: { leaseSeconds: 5, graceSeconds: 1 }");
        await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
        using GrpcChannel channel = lab.OpenNode("a");
        using GrpcChannel silent = lab.OpenNode("b");
        RegisterResponse registered = await RegisterAsync(channel, Registration("a"));
        RegisterResponse gone = await RegisterAsync(silent, Registration("b", "n", underlay: "192.0.2.2"));
        AcquireBlockResponse[] blocks = [await AcquireAsync(channel, "a", registered), await AcquireAsync(silent, "b", gone)];
        using var end = new CancellationTokenSource();
        Task renewing = RenewAllTheTimeAsync(channel, registered, end.Token);
        etcd.Fill();
        GetStateResponse before = await lab.StateAsync();

        string reason = $"etcd {etcd.Client.Authority} has no space left, and nothing was changed: 'etcdctl compaction' of a late revision and 'etcdctl defrag' of each member, or raise --quota-backend-bytes; then 'etcdctl alarm disarm'";
        using GrpcChannel another = lab.OpenNode("c");
        foreach (Func<Task> change in new Func<Task>[]
        {
            () => ReserveAsync(lab), () => AcquireAsync(channel, "a", registered), () => RegisterAsync(another, Registration("c", "o", underlay: "192.0.2.3")),
            () => NodesAsync<ReleaseBlockRequest, ReleaseBlockResponse>(channel, "ReleaseBlock", new ReleaseBlockRequest { Node = "a", Network = "pods", Prefix = blocks[0].Prefix, Generation = registered.Generation }),
        })
        {
            GrpcException refused = await Assert.ThrowsAsync<GrpcException>(change);
            Assert.Equal((GrpcStatusCode.Unavailable, reason), (refused.Status, refused.Message));
        }
        await lab.WaitForLogAsync($"the store takes no changes: {reason}");
        // The lease of the silent node has run out, which cannot be written down.
        await lab.WaitForLogAsync($"the nodes' leases cannot be looked at: {reason}");

        Assert.Equal(before, await lab.StateAsync());
        WatchResponse told = await NextAsync(channel, 0, deadline.Token);
        Assert.Equal(blocks.Select(block => block.Prefix).Order(), told.Changes.Where(change => change.Block is not null).Select(change => change.Block.Prefix).Order());
        etcd.MakeRoom();
        await ReserveAsync(lab);
        await lab.WaitForLogAsync("the store works again: no longer 'the store takes no changes'");
        GetStateResponse after = await lab.WaitForStateAsync(state => state.Nodes.Single(node => node.Name == "b").LostSince > 0);
        Assert.Equal(0, after.Nodes.Single(node => node.Name == "a").LostSince);
        Assert.False(renewing.IsCompleted, $"{renewing.Exception}");
        await end.CancelAsync();
        await renewing;
        Assert.Equal(1, (await RegisterAsync(another, Registration("c", "o", underlay: "192.0.2.3"))).Generation);
        Assert.Empty((await lab.AdministerAsync<CheckRequest, CheckResponse>("Check", new CheckRequest())).Problems);
        Assert.Equal(0, await lab.TerminateAsync());
    }

    private static async Task RenewAllTheTimeAsync(GrpcChannel channel, RegisterResponse registered, CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            await RenewAsync(channel, "a", registered);
            await Task.Delay(TimeSpan.FromMilliseconds(500), end).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static Task<ChangeResponse> ReserveAsync(ControllerLab lab) =>
        lab.AdministerAsync<ReserveRequest, ChangeResponse>("Reserve", new ReserveRequest { Address = "10.244.9.9", Owner = "test" });
}
