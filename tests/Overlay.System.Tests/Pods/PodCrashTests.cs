using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Xunit.Abstractions;

namespace Overlay.SystemTests.Pods;

/// <summary>What is left when the daemon, the plugin or the runtime is killed at any moment: nothing.</summary>
public sealed class PodCrashTests(ITestOutputHelper output) : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private LabNetwork _network = null!;
    private PodNode _node = null!;

    public async Task InitializeAsync()
    {
        _network = await LabNetwork.CreateAsync(new LabOptions());
        _node = PodNode.WithSixAddresses(_network);
        await _node.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _node.DisposeAsync();
        await _network.DisposeAsync();
    }

    [Theory]
    [InlineData("ADD", "sendto")]
    [InlineData("ADD", "openat")]
    [InlineData("DEL", "sendto")]
    [InlineData("ADD", "pwrite64")]
    [InlineData("DEL", "rename")]
    [InlineData("DEL", "unlink")]
    public async Task Kill_BeforeEachStep_LeavesNothing(string command, string calls)
    {
        int killed = 0;
        for (int step = 1; ; step++)
        {
            TestPod pod = await _node.CreatePodAsync($"step-{step}");
            if (command == "DEL") Assert.Equal(0, (await _node.AddAsync(pod, "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0")).Code);
            using RunningProcess strace = RunningProcess.Start(
                "strace", ["-p", $"{_node.PodsThread}", "-o", "/dev/null", "-e", $"trace={calls}", "-e", $"inject={calls}:signal=KILL:when={step}"]);
            await strace.WaitForTextAsync("attached", Deadline);

            CniOutcome outcome = command == "ADD" ? await _node.AddAsync(pod) : await _node.DeleteAsync(pod);

            if (outcome.ExitCode == 0 && command == "ADD")
            {
                strace.Signal(Libc.SignalTerminate);
                break;
            }
            // A deletion that was broken off is on disk, and done by the next daemon.
            Assert.Equal(command == "ADD" ? 11 : 0, outcome.Code);
            bool isAlive = command == "DEL" && Directory.GetFiles(Path.Combine(_node.State, "pending")).Length == 0;
            if (isAlive)
            {
                strace.Signal(Libc.SignalTerminate);
                break;
            }
            await _node.Daemon.WaitForEndAsync();
            killed++;
            await _node.Daemon.DisposeAsync();
            await _node.StartAsync();
            // All was made, and only the answer was lost: the runtime deletes what has failed for it.
            if (command == "ADD" && IsWired()) await _node.DeleteAsync(pod);
            await _node.AssertNothingLeftAsync();
            Assert.Empty((await PodsAsync()).Pods);
        }
        output.WriteLine($"{command}: killed before each of {killed} calls of {calls}");
        Assert.True(killed >= (calls != "sendto" ? 1 : command == "ADD" ? 6 : 3), $"only {killed} steps");
        if (command == "ADD") await _node.DeleteAsync(await _node.CreatePodAsync($"step-{killed + 1}"));
        await _node.AssertAllSixAddressesAreFreeAsync();
    }

    [Fact]
    public async Task Delete_DaemonIsDown_IsDoneWhenItIsBack()
    {
        (TestPod deleted, _) = await _node.AddPodAsync();
        (_, CniOutcome kept) = await _node.AddPodAsync();
        await _node.Daemon.KillAsync();
        Assert.Contains("ovp", await _node.Node.Host.CheckAsync("ip", "-o", "link"), StringComparison.Ordinal);

        Assert.Equal(0, (await _node.DeleteAsync(deleted)).Code);
        Assert.Equal(11, (await _node.AddAsync(deleted)).Code);
        await _node.Daemon.DisposeAsync();
        await _node.StartAsync();

        PodStatus left = Assert.Single((await PodsAsync()).Pods);
        Assert.Equal(kept.Addresses, left.Addresses.Select(address => address.Split('/')[0]));
        Assert.True((await Traffic.Ping.RunAsync(_node.Node.Host, kept.Addresses[0])).Received == 1, "a pod outlives the daemon");
    }

    /// <summary>The addresses that pods have are known from the pods, too.</summary>
    [Fact]
    public async Task Start_JournalOfAddressesLost_HandsOutNoAddressThatAPodHas()
    {
        (_, CniOutcome first) = await _node.AddPodAsync();
        (_, CniOutcome second) = await _node.AddPodAsync();
        await _node.Daemon.KillAsync();
        File.Delete(Path.Combine(_node.State, "addresses.journal"));
        await _node.Daemon.DisposeAsync();
        await _node.StartAsync();

        (_, CniOutcome third) = await _node.AddPodAsync();

        Assert.Empty(third.Addresses.Intersect(first.Addresses.Concat(second.Addresses)));
        await _node.AssertAddressesAreSoundAsync(3, 6);
    }

    [Fact]
    public async Task Start_AfterTheHostBootedAgain_AllAddressesAreFreeAndPodsGetThoseThatTheyHad()
    {
        var pods = new Dictionary<string, (TestPod Pod, string[] Addresses)>();
        for (int i = 0; i < 6; i++)
        {
            string arguments = $"K8S_POD_NAMESPACE=default;K8S_POD_NAME=db-{i}";
            (TestPod pod, CniOutcome added) = await _node.AddPodAsync(arguments);
            pods.Add(arguments, (pod, added.Addresses));
        }
        // What it would take to find them by looking.
        _node.LeakSeconds = 3600;

        await BootAsync(pods.Values.Select(each => each.Pod));

        await _node.AssertAddressesAreSoundAsync(0, 0);
        // None of them is another's meanwhile.
        var again = new List<TestPod>();
        foreach ((string arguments, (_, string[] addresses)) in pods.Reverse())
        {
            (TestPod pod, CniOutcome added) = await _node.AddPodAsync(arguments);
            Assert.Equal(addresses, added.Addresses);
            again.Add(pod);
        }

        _node.Ranges = "[10.244.1.240/29, \"fd00:244:1:0:2::/125\"]";
        await BootAsync(again);
        await _node.AssertAddressesAreSoundAsync(0, 0);
    }

    /// <summary>Ends daemon and pods, and has what the daemon wrote be of another boot.</summary>
    private async Task BootAsync(IEnumerable<TestPod> pods)
    {
        await _node.Daemon.DisposeAsync();
        foreach (TestPod pod in pods) await pod.DisposeAsync();
        string boot = (await File.ReadAllTextAsync("/proc/sys/kernel/random/boot_id")).Trim();
        foreach (string file in Directory.GetFiles(Path.Combine(_node.State, "attachments")))
            await File.WriteAllTextAsync(file, (await File.ReadAllTextAsync(file)).Replace(boot, Guid.Empty.ToString(), StringComparison.Ordinal));
        await _node.StartAsync();
    }

    [Fact]
    public async Task Reconcile_EndedWithoutDelete_IsFreedAndTheLivingStays()
    {
        TestPod ended = await _node.CreatePodAsync();
        Assert.Equal(0, (await _node.AddAsync(ended)).Code);
        (_, CniOutcome living) = await _node.AddPodAsync();
        await ended.DisposeAsync();

        await Eventually.TrueAsync(async () => (await PodsAsync()).Pods.Count == 1, Deadline, "the address is free");

        Assert.Equal(living.Addresses, (await PodsAsync()).Pods[0].Addresses.Select(address => address.Split('/')[0]));
        string route = (await _node.Node.Host.CheckAsync("ip", "route", "show", living.Addresses[0])).Trim();
        await _node.Node.Host.IpAsync($"route del {living.Addresses[0]}");
        await Eventually.TrueAsync(
            async () => (await _node.Node.Host.CheckAsync("ip", "route", "show", living.Addresses[0])).Trim() == route, Deadline, "the route is back");
    }

    [Fact]
    public async Task Status_NoAddressOrDrained_Is50AndAddSaysWhy()
    {
        for (int i = 0; i < 6; i++) await _node.AddPodAsync();

        Assert.Equal(50, (await _node.CallAsync("STATUS", PodNode.ConfigurationOf("1.1.0"))).Code);
        CniOutcome refused = await _node.AddAsync(await _node.CreatePodAsync(), "K8S_POD_NAMESPACE=default;K8S_POD_NAME=late");
        Assert.Equal(11, refused.Code);
        Assert.Contains("default/late", refused.Message, StringComparison.Ordinal);
        Assert.Contains("10.244.1.248/29", refused.Message, StringComparison.Ordinal);
        await _node.Node.Host.IpAsync("link set overlay0 down");
        Assert.Equal(51, (await _node.CallAsync("STATUS", PodNode.ConfigurationOf("1.1.0"))).Code);
    }

    [Fact]
    public async Task Drain_ByReload_RemovesTheConflistAndAddsNoMore()
    {
        string[] lines = [.. _node.Lines, "conflist:", $"  path: {_node.Conflist}", "  plugins: [portmap]"];
        await _node.Daemon.DisposeAsync();
        _node.Lines = lines;
        await _node.StartAsync();
        string installed = await File.ReadAllTextAsync(_node.Conflist);
        Assert.Single(Directory.GetFiles(Path.GetDirectoryName(_node.Conflist)!));
        Assert.Equal("overlay-cni", (string)JsonNode.Parse(installed)!["plugins"]![0]!["type"]!);
        Assert.Equal(_node.Socket, (string)JsonNode.Parse(installed)!["plugins"]![0]!["socket"]!);
        Assert.True((bool)JsonNode.Parse(installed)!["plugins"]![1]!["capabilities"]!["portMappings"]!);
        (TestPod pod, _) = await _node.AddPodAsync();
        File.Delete(_node.Conflist);
        Directory.Delete(Path.Combine(_node.State, "pending"));
        await Eventually.TrueAsync(() => Task.FromResult(File.Exists(_node.Conflist)), Deadline, "the conflist is put back");
        Assert.Equal(installed, await File.ReadAllTextAsync(_node.Conflist));

        _node.Lines = [.. lines, "drain: true"];
        await _node.Daemon.ReloadAsync(_node.Configuration());
        Assert.False(File.Exists(_node.Conflist));
        await Eventually.TrueAsync(async () => (await _node.CallAsync("STATUS", PodNode.ConfigurationOf("1.1.0"))).Code == 50, Deadline, "STATUS says so");
        Assert.Equal(11, (await _node.AddAsync(await _node.CreatePodAsync())).Code);
        Assert.Equal(0, (await _node.DeleteAsync(pod)).Code);

        _node.Lines = lines;
        await _node.Daemon.ReloadAsync(_node.Configuration());
        Assert.Equal(installed, await File.ReadAllTextAsync(_node.Conflist));
        await Eventually.TrueAsync(async () => (await _node.CallAsync("STATUS", PodNode.ConfigurationOf("1.1.0"))).Code == 0, Deadline, "STATUS says so");
    }

    [Fact]
    public async Task Stop_WithoutPods_LeavesTheHostAsItWas()
    {
        (TestPod pod, _) = await _node.AddPodAsync();
        await _node.DeleteAsync(pod);

        await _node.Daemon.StopAsync();

        Assert.DoesNotContain("overlay-pods", await _node.Node.Host.CheckAsync("nft", "list", "ruleset"), StringComparison.Ordinal);
        Assert.DoesNotContain("proto 80", await _node.Node.Host.CheckAsync("ip", "route"), StringComparison.Ordinal);
        Assert.DoesNotContain("proto 80", await _node.Node.Host.CheckAsync("ip", "-6", "route"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Underlay_SmallerMtuAndTheUsualAgain_ReachesLivingPods()
    {
        (TestPod pod, _) = await _node.AddPodAsync();

        foreach (int mtu in (int[])[1400, 1500])
        {
            await _node.Node.Host.IpAsync($"link set underlay0 mtu {mtu}");

            string inside = $"mtu {mtu - 50}";
            await Eventually.TrueAsync(
                async () => (await pod.Space.CheckAsync("ip", "link", "show", "eth0")).Contains(inside, StringComparison.Ordinal), Deadline, "the pod's MTU follows");
            Assert.Contains(inside, await _node.Node.Host.CheckAsync("sh", "-c", "ip link show | grep ovp"), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Underlay_SmallerMtuWhileNoDaemonRuns_ReachesLivingPodsAtTheStart()
    {
        (TestPod pod, _) = await _node.AddPodAsync();
        await _node.Daemon.StopAsync();
        await _node.Node.Host.IpAsync("link set underlay0 mtu 1400");

        await _node.StartAsync();

        Assert.Contains("mtu 1350", await pod.Space.CheckAsync("ip", "link", "show", "eth0"), StringComparison.Ordinal);
        Assert.Contains("mtu 1350", await _node.Node.Host.CheckAsync("sh", "-c", "ip link show | grep ovp"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Add_CallerIsGoneBeforeItIsTold_IsTakenBack()
    {
        TestPod pod = await _node.CreatePodAsync();
        using (var caller = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            await caller.ConnectAsync(new UnixDomainSocketEndPoint(_node.Socket));
            byte[] environment = Encoding.UTF8.GetBytes($"CNI_COMMAND=ADD\0CNI_CONTAINERID={pod.ContainerId}\0CNI_NETNS={pod.Path}\0CNI_IFNAME=eth0\0");
            byte[] input = Encoding.UTF8.GetBytes(PodNode.ConfigurationOf("1.1.0").ToJsonString());
            await caller.SendAsync((byte[])[0, 0, 0, (byte)environment.Length, 0, 0, 0, (byte)input.Length, .. environment, .. input]);
        }

        await _node.Daemon.WaitForLogAsync("was added for a caller that is gone");
        await Eventually.TrueAsync(async () => (await PodsAsync()).Pods.Count == 0, Deadline, "the pod is taken back");
        await _node.AssertNothingLeftAsync();
        Assert.Equal(0, (await _node.AddAsync(pod)).Code);
    }

    private bool IsWired() =>
        Directory.GetFiles(Path.Combine(_node.State, "attachments")).Any(file => File.ReadAllText(file).Contains("\"isWired\":true", StringComparison.Ordinal));

    private async Task<PodsDocument> PodsAsync() => JsonSerializer.Deserialize(
        await Command.CheckAsync(Deadline, null, Repository.Client, "pods", "--json", "--socket", _node.Daemon.Socket), StatusJson.Default.PodsDocument)!;
}
