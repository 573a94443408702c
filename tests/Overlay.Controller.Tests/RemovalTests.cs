using Overlay.Control.Stores;
using Overlay.Control.Stores.Etcd;
using Overlay.Control.Stores.Sqlite;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Testing;
using static Overlay.Controller.Tests.ControllerLab;

namespace Overlay.Controller.Tests;

/// <summary>Nodes and networks that have more than goes into one transaction.</summary>
public sealed class RemovalTests
{
    private const int Blocks = 110;

    [Theory]
    [InlineData("sqlite")]
    [InlineData("etcd")]
    public async Task RemoveNode_WithManyBlocks_IsDoneWithoutForceAndSoIsWhatOneLeftThatWasCutShort(string kind)
    {
        using EtcdMember? etcd = kind == "etcd" ? (await EtcdMember.StartAsync(1))[0] : null;
        await using ControllerLab lab = await StartNewAsync(etcd is null ? null : $"{{ kind: etcd, endpoints: [{etcd.Client.OriginalString}] }}", "nodes: { leaseSeconds: 2, graceSeconds: 3600 }");
        await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
        using GrpcChannel channel = lab.OpenNode("a");
        using GrpcChannel other = lab.OpenNode("b");
        AcquireBlockResponse kept = await AcquireAsync(other, "b", await RegisterAsync(other, Registration("b", "n", underlay: "192.0.2.2")));

        RegisterResponse registered = await LeaseAsync(channel);
        await lab.AdministerAsync<DrainNodeRequest, ChangeResponse>("DrainNode", new DrainNodeRequest { Name = "a" });
        GrpcException drained = await Assert.ThrowsAsync<GrpcException>(() => AcquireAsync(channel, "a", registered));
        await lab.WaitForStateAsync(state => state.Nodes.Single(node => node.Name == "a").LostSince > 0);
        ChangeResponse planned = await RemoveAsync(lab, dryRun: true);
        ChangeResponse removed = await RemoveAsync(lab);

        Assert.Contains("is being drained", drained.Message, StringComparison.Ordinal);
        Assert.Equal(Blocks + 1, planned.Changes.Count);
        Assert.Equal(planned.Changes.Select(change => change.Key), removed.Changes.Select(change => change.Key));
        await AssertRemovedAsync(lab, kept);
        Assert.Equal(GrpcStatusCode.NotFound, (await Assert.ThrowsAsync<GrpcException>(() => RemoveAsync(lab))).Status);

        await LeaseAsync(channel);
        await using (IControlStore store = etcd is null ? new SqliteStore(lab.Database) : new EtcdStore(new EtcdOptions { Endpoints = [etcd.Client] }))
            Assert.True((await store.CommitAsync(new StoreTransaction().Delete("state/nodes/a").Delete("alive/a"), CancellationToken.None)).IsCommitted);
        await lab.WaitForStateAsync(state => state.Nodes.Count == 1);
        Assert.Equal(Blocks, (await lab.AdministerAsync<CheckRequest, CheckResponse>("Check", new CheckRequest())).Problems.Count(problem => problem.Remedy == "overlay node remove a"));
        await RemoveAsync(lab);
        await AssertRemovedAsync(lab, kept);

        int blocks = (await lab.StateAsync()).Blocks.Count;
        ChangeResponse deleted = await lab.AdministerAsync<DeleteNetworkRequest, ChangeResponse>("DeleteNetwork", new DeleteNetworkRequest { Name = "pods", Force = true });
        Assert.Equal(blocks + 1, deleted.Changes.Count);
        GetStateResponse empty = await lab.StateAsync();
        Assert.Empty(empty.Networks);
        Assert.Empty(empty.Blocks);
        Assert.Equal(GrpcStatusCode.NotFound, (await Assert.ThrowsAsync<GrpcException>(
            () => lab.AdministerAsync<DeleteNetworkRequest, ChangeResponse>("DeleteNetwork", new DeleteNetworkRequest { Name = "pods" }))).Status);
    }

    private static async Task<RegisterResponse> LeaseAsync(GrpcChannel channel)
    {
        RegisterResponse registered = await RegisterAsync(channel, Registration("a", attempt: Guid.NewGuid().ToString("N")));
        for (int i = 0; i < Blocks; i++) await AcquireAsync(channel, "a", registered);
        return registered;
    }

    private static async Task AssertRemovedAsync(ControllerLab lab, AcquireBlockResponse kept)
    {
        GetStateResponse state = await lab.StateAsync();
        Assert.Equal(["b"], state.Nodes.Select(node => node.Name));
        Assert.Equal([kept.Prefix], state.Blocks.Where(block => block.Holder.Length > 0).Select(block => block.Prefix));
        Assert.Empty((await lab.AdministerAsync<CheckRequest, CheckResponse>("Check", new CheckRequest())).Problems);
    }

    private static Task<ChangeResponse> RemoveAsync(ControllerLab lab, bool dryRun = false) =>
        lab.AdministerAsync<RemoveNodeRequest, ChangeResponse>("RemoveNode", new RemoveNodeRequest { Name = "a", DryRun = dryRun });
}
