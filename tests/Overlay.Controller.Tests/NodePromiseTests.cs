using Google.Protobuf;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using static Overlay.Controller.Tests.ControllerLab;

namespace Overlay.Controller.Tests;

/// <summary>What a node is told and goes by while it hears of no controller, and what nodes of other versions say.</summary>
public sealed class NodePromiseTests
{
    [Theory]
    [InlineData(15, 3600, 3611)]
    [InlineData(2, 1, 2)]
    [InlineData(600, 365 * 86400, 31505064)]
    public void HoldSeconds_OfAnyLeaseAndGrace_EndSoonerThanBlocksAreTakenBackHoweverClocksRunApart(int lease, int grace, int expected)
    {
        int hold = new NodeLeaseOptions(TimeSpan.FromSeconds(lease), TimeSpan.FromSeconds(grace)).HoldSeconds;

        Assert.Equal(expected, hold);
        // The monitor looks for the grace and one lease more, once the lease ran out.
        Assert.True(hold * 1.0009 < lease + grace + lease);
    }

    /// <summary>Another controller, or this one with other settings, does not take back what a node may be handing out addresses of.</summary>
    [Fact]
    public async Task Controller_WithAShorterGraceThanANodeWasTold_KeepsItsBlocksForThatTime()
    {
        await using ControllerLab before = await StartNewAsync(more: "nodes: { leaseSeconds: 2, graceSeconds: 3600 }");
        await before.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
        using GrpcChannel channel = before.OpenNode("a");
        RegisterResponse registered = await RegisterAsync(channel, ControllerLab.Registration("a"));
        AcquireBlockResponse block = await AcquireAsync(channel, "a", registered);
        Assert.Equal(2 + 3596, registered.HoldSeconds);
        await before.KillAsync();

        await using ControllerLab after = await StartNewAsync($"{{ kind: sqlite, file: {before.Database} }}", "nodes: { leaseSeconds: 2, graceSeconds: 1 }");
        using GrpcChannel other = after.OpenNode("b");
        RegisterResponse shortly = await RegisterAsync(other, ControllerLab.Registration("b", underlay: "192.0.2.2"));
        await AcquireAsync(other, "b", shortly);

        // Both are silent from here on; one of them was told so little.
        GetStateResponse state = await after.WaitForStateAsync(each => each.Nodes.All(node => node.LostSince > 0) && each.Blocks.All(held => held.Holder != "b"));
        Assert.Equal("a", state.Blocks.Single(each => each.Prefix == block.Prefix).Holder);
    }

    /// <summary>Field 99 of each message, as a later version may send it.</summary>
    [Fact]
    public async Task Node_OfANewerVersion_IsServed()
    {
        using var deadline = new CancellationTokenSource(Patience);
        await using ControllerLab lab = await StartNewAsync();
        await lab.CreateNetworkAsync("pods", 42, "10.244.0.0/16");
        using GrpcChannel channel = lab.OpenNode("a");

        RegisterResponse registered = await RegisterAsync(channel, WithUnknownField(ControllerLab.Registration("a")));
        await NodesAsync<RenewRequest, RenewResponse>(
            channel, "Renew", WithUnknownField(new RenewRequest { Node = "a", Lease = registered.Lease, Generation = registered.Generation }));
        AcquireBlockResponse block = await NodesAsync<AcquireBlockRequest, AcquireBlockResponse>(
            channel, "AcquireBlock", WithUnknownField(new AcquireBlockRequest { Node = "a", Network = "pods", Generation = registered.Generation }));

        Assert.Equal("a", (await lab.StateAsync()).Blocks.Single(each => each.Prefix == block.Prefix).Holder);
        Assert.Contains(block.Prefix, (await NextAsync(channel, 0, deadline.Token)).Changes.Where(change => change.Block is not null).Select(change => change.Block.Prefix));
    }

    private static T WithUnknownField<T>(T message)
        where T : IMessage<T>, new() => new MessageParser<T>(() => new T()).ParseFrom([.. message.ToByteArray(), 0x9a, 0x06, 5, .. "later"u8]);
}
