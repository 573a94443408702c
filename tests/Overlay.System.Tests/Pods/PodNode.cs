using System.Globalization;
using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Pods;

/// <summary>What a call of the plugin printed.</summary>
internal sealed record CniOutcome(int ExitCode, string Output)
{
    public JsonNode Json => JsonNode.Parse(Output)!;

    /// <summary>Code of the error; 0: it succeeded.</summary>
    public int Code => ExitCode == 0 ? 0 : (int)Json["code"]!;

    public string Message => (string)Json["msg"]!;

    /// <summary>The addresses of a result, without the lengths of their prefixes.</summary>
    public string[] Addresses => [.. Json["ips"]!.AsArray().Select(ip => ((string)ip!["address"]!).Split('/')[0])];
}

/// <summary>A container's network namespace, which the runtime hands to the plugin.</summary>
internal sealed class TestPod(NetworkNamespace space, string containerId) : IAsyncDisposable
{
    private bool _isGone;

    public NetworkNamespace Space => space;

    public string ContainerId => containerId;

    public string Path => $"/run/netns/{space.Name}";

    public static async Task<TestPod> CreateAsync(string containerId)
    {
        NetworkNamespace space = await NetworkNamespace.CreateAsync(containerId);
        await space.IpAsync("link set lo up");
        return new TestPod(space, containerId);
    }

    public async ValueTask DisposeAsync()
    {
        if (_isGone) return;
        _isGone = true;
        await space.DisposeAsync();
    }
}

/// <summary>A node whose daemon wires pods; what it keeps on disk outlives the daemon.</summary>
internal sealed class PodNode : IAsyncDisposable
{
    public const string Network = "overlay";

    private readonly DirectoryInfo _folder = NetworkNamespace.CreateDirectory();
    private readonly List<TestPod> _pods = [];
    private readonly LabNetwork _network;
    private readonly TunnelOptions _tunnel;
    private int _containers;

    public PodNode(LabNetwork network, LabNode node, TunnelOptions tunnel)
    {
        _network = network;
        _tunnel = tunnel;
        Node = node;
    }

    /// <summary>One whose pool is so small that an address that leaked is soon missed.</summary>
    public static PodNode WithSixAddresses(LabNetwork network) => new(network, network.A, new TunnelOptions())
    {
        Ranges = "[10.244.1.248/29, \"fd00:244:1:0:1::/125\"]",
        Lines = ["coolDownSeconds: 0"],
    };

    public LabNode Node { get; }

    public OverlayDaemon Daemon { get; private set; } = null!;

    /// <summary>Where pods get their addresses from, as the configuration has it.</summary>
    public string? Ranges { get; set; }

    public string Range4 => $"10.244.{Node.Number}.128/25";

    public string Range6 => $"fd00:244:{Node.Number}:0:1::/112";

    /// <summary>How long what ended without DEL is left alone.</summary>
    public int LeakSeconds { get; set; } = 1;

    /// <summary>Further lines of the section, without indentation.</summary>
    public string[] Lines { get; set; } = [];

    public string State => Path.Combine(_folder.FullName, "state");

    public string Socket => Path.Combine(_folder.FullName, "cni.sock");

    public string Conflist => Path.Combine(_folder.FullName, "net.d", "10-overlay.conflist");

    /// <summary>Id of the daemon's thread that wires pods.</summary>
    public int PodsThread => int.Parse(
        Path.GetFileName(Directory.GetDirectories($"/proc/{Daemon.ProcessId}/task").Single(task => File.ReadAllText($"{task}/comm").Trim() == "pods")),
        CultureInfo.InvariantCulture);

    public async Task StartAsync() => Daemon = await OverlayDaemon.StartAsync(Node.Host, Configuration());

    public DaemonConfiguration Configuration() => DaemonConfiguration.For(Node, _network.Nodes.Where(peer => peer != Node), _tunnel) with
    {
        Sections = $"""
            pods:
              ranges: {Ranges ?? $"[{Range4}, \"{Range6}\"]"}
              socket: {Socket}
              state: {State}
              leakSeconds: {LeakSeconds}
            {string.Join('\n', Lines.Select(line => $"  {line}"))}

            """,
    };

    /// <summary>A namespace as a runtime makes it.</summary>
    public async Task<TestPod> CreatePodAsync(string? containerId = null)
    {
        int number = Interlocked.Increment(ref _containers);
        NetworkNamespace space = await NetworkNamespace.CreateAsync($"c{Node.Number}-{number}");
        await space.IpAsync("link set lo up");
        var pod = new TestPod(space, containerId ?? string.Create(CultureInfo.InvariantCulture, $"container-{number}"));
        lock (_pods) _pods.Add(pod);
        return pod;
    }

    /// <summary>A namespace, and the result of ADD for it.</summary>
    public async Task<(TestPod Pod, CniOutcome Result)> AddPodAsync(string arguments = "", string interfaceName = "eth0")
    {
        TestPod pod = await CreatePodAsync();
        CniOutcome result = await AddAsync(pod, arguments, interfaceName);
        Assert.True(result.ExitCode == 0, $"{result.Output}{Daemon.Log}");
        return (pod, result);
    }

    public Task<CniOutcome> AddAsync(TestPod pod, string arguments = "", string interfaceName = "eth0", JsonObject? configuration = null) =>
        CallAsync("ADD", configuration ?? ConfigurationOf("1.1.0"), pod.ContainerId, pod.Path, interfaceName, arguments);

    public Task<CniOutcome> DeleteAsync(TestPod pod, string interfaceName = "eth0", bool withNamespace = true) =>
        CallAsync("DEL", ConfigurationOf("1.1.0"), pod.ContainerId, withNamespace ? pod.Path : "", interfaceName);

    public static JsonObject ConfigurationOf(string version) => new() { ["cniVersion"] = version, ["name"] = Network, ["type"] = "overlay-cni" };

    /// <summary>Runs the plugin as a runtime does.</summary>
    public Task<CniOutcome> CallAsync(string command, JsonNode configuration, string containerId = "", string path = "", string interfaceName = "", string arguments = "") =>
        CallAsync(Socket, State, command, configuration, containerId, path, interfaceName, arguments);

    /// <summary>Runs the plugin against the daemon that listens on a socket.</summary>
    public static async Task<CniOutcome> CallAsync(
        string socket, string state, string command, JsonNode configuration, string containerId = "", string path = "", string interfaceName = "", string arguments = "")
    {
        using RunningProcess plugin = StartCall(socket, state, command, configuration, containerId, path, interfaceName, arguments);
        int code = await plugin.WaitForExitAsync(TimeSpan.FromSeconds(90));
        return new CniOutcome(code, plugin.Output);
    }

    /// <summary>Starts the plugin as a runtime does.</summary>
    public RunningProcess StartCall(string command, JsonNode configuration, string containerId, string path, string interfaceName) =>
        StartCall(Socket, State, command, configuration, containerId, path, interfaceName, "");

    private static RunningProcess StartCall(
        string socket, string state, string command, JsonNode configuration, string containerId, string path, string interfaceName, string arguments) =>
        RunningProcess.Start(Repository.CniPlugin, [], configuration.ToJsonString(), new Dictionary<string, string>
        {
            ["OVERLAY_CNI_SOCKET"] = socket,
            ["OVERLAY_CNI_PENDING"] = Path.Combine(state, "pending"),
            ["CNI_COMMAND"] = command,
            ["CNI_CONTAINERID"] = containerId,
            ["CNI_NETNS"] = path,
            ["CNI_IFNAME"] = interfaceName,
            ["CNI_ARGS"] = arguments,
            ["CNI_PATH"] = "/opt/cni/bin",
        });

    /// <summary>What a command of the client prints that asks the daemon.</summary>
    public Task<string> ClientAsync(params string[] words) => Command.CheckAsync(Command.ShortDeadline, null, Repository.Client, [.. words, "--socket", Daemon.Socket]);

    /// <summary>Whether <c>overlay ipam check</c> finds so many and no contradiction.</summary>
    public async Task AssertAddressesAreSoundAsync(int pods, int addresses) => Assert.Equal(
        $"{pods} pods, {addresses} addresses: no contradiction\n",
        await Command.CheckAsync(Command.ShortDeadline, null, Repository.Client, "ipam", "check", "--daemon", Daemon.Socket));

    /// <summary>Whether nothing of pods is left but what they have in common.</summary>
    public async Task AssertNothingLeftAsync()
    {
        Assert.DoesNotContain("ovp", await Node.Host.CheckAsync("ip", "-o", "link"), StringComparison.Ordinal);
        Assert.All(
            (await Node.Host.CheckAsync("sh", "-c", "ip route; ip -6 route")).Split('\n').Where(route => route.Contains("proto 80", StringComparison.Ordinal)),
            route => Assert.StartsWith("unreachable", route));
        Assert.DoesNotContain("elements", await Node.Host.CheckAsync("nft", "list", "table", "inet", "overlay-pods"), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(Path.Combine(State, "attachments")));
        Assert.Empty(Directory.GetFiles(Path.Combine(State, "pending")));
    }

    /// <summary>Whether all addresses of <see cref="WithSixAddresses"/> can be had, each once.</summary>
    public async Task AssertAllSixAddressesAreFreeAsync()
    {
        var addresses = new HashSet<string>();
        for (int i = 0; i < 6; i++)
        {
            (_, CniOutcome added) = await AddPodAsync();
            addresses.UnionWith(added.Addresses);
        }
        Assert.Equal(12, addresses.Count);
    }

    public async ValueTask DisposeAsync()
    {
        if (Daemon is not null) await Daemon.DisposeAsync();
        foreach (TestPod pod in _pods) await pod.DisposeAsync();
        _folder.Delete(recursive: true);
    }
}

/// <summary>Two nodes whose daemons wire pods.</summary>
internal sealed class PodLab : IAsyncDisposable
{
    private readonly LabNetwork _network;

    private PodLab(LabNetwork network, TunnelOptions tunnel)
    {
        _network = network;
        A = new PodNode(network, network.A, tunnel);
        B = new PodNode(network, network.B, tunnel);
    }

    public PodNode A { get; }

    public PodNode B { get; }

    public static async Task<PodLab> CreateAsync(TunnelOptions? tunnel = null, LabOptions? options = null, params string[] lines)
    {
        var lab = new PodLab(await LabNetwork.CreateAsync(options ?? new LabOptions()), tunnel ?? new TunnelOptions());
        try
        {
            foreach (PodNode node in new[] { lab.A, lab.B })
            {
                node.Lines = lines;
                await node.StartAsync();
            }
            return lab;
        }
        catch
        {
            await lab.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await A.DisposeAsync();
        await B.DisposeAsync();
        await _network.DisposeAsync();
    }
}

/// <summary>The same, shared by the tests of a class, or of several.</summary>
public class PodLabFixture : IAsyncLifetime
{
    /// <summary>Name of the collection of classes that share one.</summary>
    public const string Shared = "pods of two nodes";

    private readonly string[] _lines;

    public PodLabFixture()
        : this([])
    {
    }

    /// <param name="lines">Further ones of the section 'pods:'.</param>
    protected PodLabFixture(params string[] lines) => _lines = lines;

    internal PodLab Lab { get; private set; } = null!;

    public async Task InitializeAsync() => Lab = await PodLab.CreateAsync(lines: _lines);

    public async Task DisposeAsync()
    {
        if (Lab is not null) await Lab.DisposeAsync();
    }
}

[CollectionDefinition(PodLabFixture.Shared)]
public sealed class PodLabCollection : ICollectionFixture<PodLabFixture>;

/// <summary>Two nodes whose pods are ports of a bridge.</summary>
public sealed class BridgedPodLabFixture() : PodLabFixture("mode: bridge");
