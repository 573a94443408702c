using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Testing;

namespace Overlay.Controller.Tests;

/// <summary>Controllers that are killed while nodes lease and return blocks.</summary>
public sealed class CrashTests
{
    private const int Nodes = 20;

    /// <summary>So many for each node, and those whose lease went unheard, fit into the pool however fast the machine is.</summary>
    private const int MostHeld = 16;

    [Fact]
    public async Task Controller_KilledAndStartedAgainUnderLoad_WhatANodeWasToldItHoldsItHoldsAlone()
    {
        int seed = Random.Shared.Next();
        await using ControllerLab lab = await ControllerLab.StartNewAsync();
        await lab.CreateNetworkAsync("pods", 42, "10.0.0.0/16");
        using var stop = new CancellationTokenSource();
        Task<HashSet<string>>[] nodes = [.. Enumerable.Range(0, Nodes).Select(i => LeaseAndReturnAsync(lab, $"n{i}", new Random(seed + i), stop.Token))];
        var killing = new Random(seed);
        for (int i = 0; i < 4; i++)
        {
            await Task.Delay(killing.Next(200, 900));
            await lab.KillAsync();
            await lab.StartAsync();
        }
        await Task.Delay(500);
        await stop.CancelAsync();
        HashSet<string>[] held = await Task.WhenAll(nodes);

        await AssertHeldAsync(lab, held, seed);
        Assert.Equal(0, await lab.TerminateAsync());
    }

    [Fact]
    public async Task Etcd_LeaderKilledUnderLoadOfTwoControllers_NodesHoldWhatTheyWereToldAndWatchersMissNothing()
    {
        int seed = Random.Shared.Next();
        using var deadline = new CancellationTokenSource(ControllerLab.Patience * 2);
        EtcdMember[] members = await EtcdMember.StartAsync(3);
        try
        {
            await using ControllerLab lab = await ControllerLab.StartNewAsync($"{{ kind: etcd, endpoints: [{string.Join(", ", members.Select(member => member.Client.OriginalString))}] }}");
            int[] ports = [lab.Port, 0];
            await lab.StartAsync(another: true);
            ports[1] = lab.Port;
            await lab.CreateNetworkAsync("pods", 42, "10.0.0.0/16");
            using var stop = new CancellationTokenSource();
            using var end = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token);
            Task<HashSet<string>>[] nodes = [.. Enumerable.Range(0, Nodes).Select(i => LeaseAndReturnAsync(lab, $"n{i}", new Random(seed + i), stop.Token, ports[i % 2]))];
            FollowingNode[] watchers = [.. ports.Select((port, i) => new FollowingNode(lab.OpenNode($"n{i}", port), $"n{i}"))];
            Task[] watching = [.. watchers.Select(watcher => watcher.RunAsync(end.Token))];

            for (int round = 0; round < 2; round++)
            {
                await Task.Delay(new Random(seed).Next(500, 1500), deadline.Token);
                EtcdMember leader = await EtcdMember.LeaderAsync(members, deadline.Token);
                leader.Kill();
                // Longer than an election takes.
                await Task.Delay(4000, deadline.Token);
                leader.Start();
            }
            await Task.Delay(1000, deadline.Token);
            await stop.CancelAsync();
            await AssertHeldAsync(lab, await Task.WhenAll(nodes), seed);

            string[] expected = [.. (await lab.StateAsync()).Blocks.Select(block => $"{block.Prefix} {block.Holder}").Order()];
            foreach (FollowingNode watcher in watchers) await watcher.ReachAsync(expected, deadline.Token);
            await end.CancelAsync();
            await Task.WhenAll(watching);
            Assert.Equal((seed, 0), (seed, watchers.Sum(watcher => watcher.Repeated)));
            foreach (FollowingNode watcher in watchers) watcher.Dispose();
        }
        finally
        {
            foreach (EtcdMember member in members) member.Dispose();
        }
    }

    private static async Task AssertHeldAsync(ControllerLab lab, HashSet<string>[] held, int seed)
    {
        Dictionary<string, string> holders = (await lab.StateAsync()).Blocks.ToDictionary(block => block.Prefix, block => block.Holder);
        for (int i = 0; i < Nodes; i++)
        {
            foreach (string block in held[i]) Assert.True(holders.GetValueOrDefault(block) == $"n{i}", $"seed {seed}: n{i} was told that it holds {block}, and '{holders.GetValueOrDefault(block)}' does");
        }
        Assert.True(held.Sum(each => each.Count) > Nodes, $"seed {seed}: hardly anything was leased");
        CheckResponse check = await lab.AdministerAsync<CheckRequest, CheckResponse>("Check", new CheckRequest());
        Assert.True(check.Problems.All(problem => problem.What.StartsWith("underlay address", StringComparison.Ordinal)), $"seed {seed}: {check}");
    }

    private static async Task<HashSet<string>> LeaseAndReturnAsync(ControllerLab lab, string node, Random random, CancellationToken stop, int? port = null)
    {
        using GrpcChannel channel = lab.OpenNode(node, port);
        RegisterResponse registered = await ControllerLab.RetryAsync(() =>
            ControllerLab.NodesAsync<RegisterRequest, RegisterResponse>(channel, "Register", ControllerLab.Registration(node, node)));
        var held = new HashSet<string>();
        while (!stop.IsCancellationRequested)
        {
            if (held.Count < MostHeld && (random.Next(3) > 0 || held.Count == 0))
            {
                // A lease whose answer was lost stays the node's; it is not told of it here.
                AcquireBlockResponse leased = await ControllerLab.RetryAsync(() => ControllerLab.NodesAsync<AcquireBlockRequest, AcquireBlockResponse>(
                    channel, "AcquireBlock", new AcquireBlockRequest { Node = node, Network = "pods", Generation = registered.Generation }));
                Assert.True(held.Add(leased.Prefix));
            }
            else
            {
                string block = held.ElementAt(random.Next(held.Count));
                held.Remove(block);
                await ControllerLab.RetryAsync(() => ControllerLab.NodesAsync<ReleaseBlockRequest, ReleaseBlockResponse>(
                    channel, "ReleaseBlock", new ReleaseBlockRequest { Node = node, Network = "pods", Prefix = block, Generation = registered.Generation }));
            }
            await Task.Delay(random.Next(10), CancellationToken.None);
        }
        return held;
    }
}
