using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Pods;

namespace Overlay.SystemTests.Control;

/// <summary>Pods that get addresses of the blocks that a controller leases to their nodes.</summary>
public sealed class ControlledPodsTests : IAsyncLifetime
{
    private readonly List<TestPod> _pods = [];
    private ControlledLab _lab = null!;
    private NetworkNamespace _a = null!;
    private RunningProcess _daemonA = null!;

    public async Task InitializeAsync()
    {
        _lab = await ControlledLab.StartAsync();
        _a = await _lab.AddHostAsync(1);
        NetworkNamespace b = await _lab.AddHostAsync(2);
        _daemonA = await StartNodeAsync(_a, "a");
        await StartNodeAsync(b, "b");
    }

    public async Task DisposeAsync()
    {
        await _lab.DisposeAsync();
        foreach (TestPod pod in _pods) await pod.DisposeAsync();
    }

    [Fact]
    public async Task Add_OnTwoNodes_GivesAddressesOfTheirBlocksThatReachEachOther()
    {
        (TestPod pod, CniOutcome first) = await AddAsync("a", "c1");
        (_, CniOutcome second) = await AddAsync("b", "c2");

        Assert.Equal((2, 2), (first.Addresses.Length, second.Addresses.Length));
        foreach ((string node, string address) in first.Addresses.Select(each => ("node-a", each)).Concat(second.Addresses.Select(each => ("node-b", each))))
            Assert.Contains(node, await _lab.AdministerAsync("ipam", "who", address), StringComparison.Ordinal);
        foreach (string address in second.Addresses)
            await ControlledLab.UntilAsync(async () => (await pod.Space.RunAsync(ControlledLab.Deadline, "ping", "-n", "-c", "1", "-W", "1", address)).ExitCode == 0, $"an answer of {address}");
        // Another block was leased as soon as less was free at once than the low-water mark asks for.
        await ControlledLab.UntilAsync(async () => (await _lab.AdministerAsync("ipam", "blocks")).Split("node-a").Length > 4, "second blocks of node-a");
    }

    [Fact]
    public async Task Add_ControllerAwayAndDaemonRestarted_GivesAddressesOfWarmBlocksAndNoneTwice()
    {
        (TestPod before, CniOutcome first) = await AddAsync("a", "c1");
        (_, CniOutcome other) = await AddAsync("b", "c2");
        await _lab.KillControllerAsync();
        _daemonA.Signal(Libc.SignalTerminate);
        Assert.Equal(0, await _daemonA.WaitForExitAsync(ControlledLab.Deadline));
        await StartNodeAsync(_a, "a");

        var addresses = new List<string>(first.Addresses);
        for (int i = 0; i < 4; i++) addresses.AddRange((await AddAsync("a", $"late-{i}")).Result.Addresses);

        Assert.Equal(10, addresses.Distinct().Count());
        await ControlledLab.UntilAsync(
            async () => (await before.Space.RunAsync(ControlledLab.Deadline, "ping", "-n", "-c", "1", "-W", "1", other.Addresses[0])).ExitCode == 0, "an answer without a controller");
        Assert.Equal(0, (await CallAsync("a", "DEL", before)).Code);
        await _lab.StartControllerAsync();
        await ControlledLab.UntilAsync(async () => (await _lab.StatusAsync("a")).GetProperty("control").TryGetProperty("controller", out var controller) && controller.GetString() is not null, "a connection");
        Assert.Contains("no contradiction", await _lab.AdministerAsync("ipam", "check"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Add_OnANodeThatGetsNoBlock_TakesAPartOfTheOthersBlockWhereNodesBorrow()
    {
        NetworkNamespace c = await _lab.AddHostAsync(3);
        NetworkNamespace d = await _lab.AddHostAsync(4);
        await _lab.AdministerAsync("network", "create", "few", "--vni", "44", "--pool", "10.250.0.0/26", "--borrow");
        foreach ((NetworkNamespace host, string name) in new[] { (c, "c"), (d, "d") })
        {
            await _lab.StartNodeAsync(host, $"node-{name}", name, $$"""
                  networks: [few]
                  lowWater: 4
                pods: { socket: {{_lab.Folder}}/cni-{{name}}.sock, state: {{_lab.Folder}}/pods-{{name}} }
                """);
            await ControlledLab.AddressAsync(host, "ovl44");
        }
        (TestPod onC, CniOutcome first) = await AddAsync("c", "c1");
        (_, CniOutcome second) = await AddAsync("d", "d1");

        string blocks = await _lab.AdministerAsync("ipam", "blocks", "--network", "few");
        Assert.Contains("lent by node-", blocks, StringComparison.Ordinal);
        Assert.Contains("lent by node-", await _lab.AdministerAsync("ipam", "who", second.Addresses[0]) + await _lab.AdministerAsync("ipam", "who", first.Addresses[0]), StringComparison.Ordinal);
        await ControlledLab.UntilAsync(
            async () => (await onC.Space.RunAsync(ControlledLab.Deadline, "ping", "-n", "-c", "1", "-W", "1", second.Addresses[0])).ExitCode == 0, "an answer out of the other's block");
        Assert.Contains("no contradiction", await _lab.AdministerAsync("ipam", "check"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Add_PodsThatEndWithoutDel_AreCollectedUnlessTheyLiveOrTheRuntimeListsThem()
    {
        JsonObject listing = new() { ["cniVersion"] = "1.1.0", ["name"] = "listed-net", ["type"] = "overlay-cni" };
        (TestPod ended, CniOutcome gone) = await AddAsync("a", "ended");
        (TestPod living, CniOutcome kept) = await AddAsync("a", "living");
        (TestPod listed, CniOutcome lasting) = await AddAsync("a", "listed", configuration: (JsonObject)listing.DeepClone());
        await CollectAsync("listed");
        await listed.DisposeAsync();
        await ended.DisposeAsync();

        await _daemonA.WaitForTextAsync("ended without being deleted", ControlledLab.Deadline);

        Assert.DoesNotContain(kept.Addresses[0], Line("ended without being deleted"), StringComparison.Ordinal);
        Assert.Contains(gone.Addresses[0], Line("ended without being deleted"), StringComparison.Ordinal);
        Assert.Contains(kept.Addresses[0], await living.Space.CheckAsync("ip", "-o", "address"), StringComparison.Ordinal);
        // Answered by the thread that looks at pods, so after the look that freed the other one.
        Assert.Equal(0, (await CallAsync("a", "STATUS", living, (JsonObject)listing.DeepClone())).Code);
        Assert.DoesNotContain($"{lasting.Addresses[0]},", _daemonA.Errors, StringComparison.Ordinal);
        await CollectAsync();
        await _daemonA.WaitForTextAsync("was collected: the runtime has it no more", ControlledLab.Deadline);

        async Task CollectAsync(params string[] containers)
        {
            JsonObject call = (JsonObject)listing.DeepClone();
            call["cni.dev/valid-attachments"] = new JsonArray([.. containers.Select(each => new JsonObject { ["containerID"] = each, ["ifname"] = "eth0" })]);
            Assert.Equal(0, (await CallAsync("a", "GC", living, call)).Code);
        }
    }

    [Fact]
    public async Task Add_PodOfTheSameNameAfterRestartsOfControllerAndDaemon_GetsItsAddressesAgain()
    {
        const string name = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0";
        (TestPod first, CniOutcome before) = await AddAsync("a", "w1", name);
        Assert.Equal(0, (await CallAsync("a", "DEL", first)).Code);
        await _lab.KillControllerAsync();
        await _lab.StartControllerAsync();
        _daemonA.Signal(Libc.SignalTerminate);
        Assert.Equal(0, await _daemonA.WaitForExitAsync(ControlledLab.Deadline));
        _daemonA = await StartNodeAsync(_a, "a");
        (_, CniOutcome other) = await AddAsync("a", "o1");

        (_, CniOutcome again) = await AddAsync("a", "w2", name);

        Assert.Equal(before.Addresses, again.Addresses);
        Assert.Empty(before.Addresses.Intersect(other.Addresses));
    }

    [Fact]
    public async Task IpamCheck_AddressesOfAPodWithoutRecord_AreNamedAndLivingPodsAreSound()
    {
        (TestPod lost, CniOutcome result) = await AddAsync("a", "lost");
        await AddAsync("a", "living");
        Assert.Equal("2 pods, 4 addresses: no contradiction\n", (await CheckAsync()).Output);
        string host = (string)result.Json["interfaces"]![0]!["name"]!;

        _daemonA.Signal(Libc.SignalKill);
        await _daemonA.WaitForExitAsync(ControlledLab.Deadline);
        File.Delete($"{_lab.Folder}/pods-a/attachments/{host}.json");
        await _a.IpAsync($"link del {host}");
        _daemonA = await StartNodeAsync(_a, "a", leakSeconds: 600);
        CommandResult found = await CheckAsync();
        // Until it knows of the network that its pods are in, the daemon refuses to look.
        await ControlledLab.UntilAsync(async () => found.Output.Length > 0 || (found = await CheckAsync()).Output.Length > 0, "an answer of the daemon that was restarted");

        Assert.Equal(1, found.ExitCode);
        foreach (string address in result.Addresses) Assert.Contains($"{address} is held for overlay/{lost.ContainerId}/eth0, of which there is nothing", found.Output, StringComparison.Ordinal);
        Assert.EndsWith("1 pods, 4 addresses: 2 contradictions\n", found.Output, StringComparison.Ordinal);
        // What the controllers lease is not touched by it.
        Assert.Contains("no contradiction", await _lab.AdministerAsync("ipam", "check"), StringComparison.Ordinal);

        Task<CommandResult> CheckAsync() => Command.RunAsync(ControlledLab.Deadline, null, Repository.Client, "ipam", "check", "--daemon", $"{_lab.Folder}/a.sock");
    }

    private string Line(string text) => _daemonA.Errors.Split('\n').First(line => line.Contains(text, StringComparison.Ordinal));

    private Task<RunningProcess> StartNodeAsync(NetworkNamespace host, string name, int leakSeconds = 1) => _lab.StartNodeAsync(host, $"node-{name}", name, $$"""
          networks: [pods]
          lowWater: 63
          highWater: 200
        pods: { segment: pods, socket: {{_lab.Folder}}/cni-{{name}}.sock, state: {{_lab.Folder}}/pods-{{name}}, leakSeconds: {{leakSeconds}} }
        """);

    /// <summary>A pod on a node; until a first block is leased the runtime is told to try again.</summary>
    private async Task<(TestPod Pod, CniOutcome Result)> AddAsync(string node, string container, string arguments = "", JsonObject? configuration = null)
    {
        TestPod pod = await TestPod.CreateAsync(container);
        _pods.Add(pod);
        CniOutcome result = null!;
        await ControlledLab.UntilAsync(async () => (result = await CallAsync(node, "ADD", pod, configuration, arguments)).Code is not 11, $"an address on {node}");
        Assert.True(result.ExitCode == 0, result.Output);
        return (pod, result);
    }

    private Task<CniOutcome> CallAsync(string node, string command, TestPod pod, JsonObject? configuration = null, string arguments = "") => PodNode.CallAsync(
        $"{_lab.Folder}/cni-{node}.sock", $"{_lab.Folder}/pods-{node}", command, configuration ?? PodNode.ConfigurationOf("1.1.0"), pod.ContainerId, pod.Path, "eth0", arguments);
}
