using System.Text.Json;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Daemon;

/// <summary>One host in a namespace of its own whose peers do not exist: enough to see what the daemon does to its host.</summary>
internal sealed class LoneNode : IAsyncDisposable
{
    public const string Configuration = """
        node: node-a
        api: { socket: SOCKET }
        underlay: { interface: underlay0 }
        tunnel: { egress: udp-gso }
        segments:
          - name: pods
            vni: 42
            device: overlay0
            mac: 02:00:00:00:00:01
            addresses: [10.244.1.0/32, "fd00:244:1::/128"]
        peers:
          - { name: node-b, address: 192.0.2.2, mac: "02:00:00:00:00:02" }
          - { name: node-c, address: 192.0.2.3, mac: "02:00:00:00:00:03" }
        routes:
          - { prefix: 10.244.2.0/24, peer: node-b }
          - { prefix: "fd00:244:2::/64", peer: node-b }

        """;

    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly DirectoryInfo _directory = NetworkNamespace.CreateDirectory();
    private readonly List<RunningProcess> _processes = [];

    private LoneNode(NetworkNamespace host) => Host = host;

    public NetworkNamespace Host { get; }

    public string Socket => Path.Combine(_directory.FullName, "run", "overlayd.sock");

    public string File => Path.Combine(_directory.FullName, "overlayd.yaml");

    public static async Task<LoneNode> CreateAsync()
    {
        var node = new LoneNode(await NetworkNamespace.CreateAsync("lone"));
        await node.Host.ConfigureAsync();
        await node.Host.IpAsync(
            "link add underlay0 type veth peer name far0",
            "address add 192.0.2.1/24 dev underlay0",
            "link set underlay0 up",
            "link set far0 up");
        node.Write(Configuration);
        return node;
    }

    /// <summary>Writes the configuration file; SOCKET stands for the socket's path.</summary>
    public void Write(string configuration) =>
        System.IO.File.WriteAllText(File, configuration.Replace("SOCKET", Socket, StringComparison.Ordinal));

    public RunningProcess Launch(params string[] launcher)
    {
        RunningProcess process = Host.Start([.. launcher, Repository.Daemon, "--config", File]);
        _processes.Add(process);
        return process;
    }

    /// <summary>Starts the daemon and waits until it forwards.</summary>
    public async Task<RunningProcess> StartAsync(params string[] launcher)
    {
        RunningProcess process = Launch(launcher);
        await process.WaitForTextAsync("msg=\"ready: ", Deadline);
        return process;
    }

    /// <summary>Waits for a process that is to end by itself.</summary>
    public static Task<int> EndAsync(RunningProcess process) => process.WaitForExitAsync(Deadline);

    public static Task<int> TerminateAsync(RunningProcess process)
    {
        process.Signal(Libc.SignalTerminate);
        return process.WaitForExitAsync(Deadline);
    }

    /// <summary>Reloads and waits for the line that tells the outcome.</summary>
    public static Task ReloadAsync(RunningProcess process, string outcome)
    {
        process.Signal(Libc.SignalHangUp);
        return process.WaitForTextAsync(outcome, Deadline);
    }

    public async Task<JsonElement> StatusAsync()
    {
        string json = await Command.CheckAsync(Deadline, null, Repository.Client, "status", "--json", "--socket", Socket);
        using JsonDocument document = JsonDocument.Parse(json);
        return document.RootElement.Clone();
    }

    public async ValueTask DisposeAsync()
    {
        _processes.ForEach(process => process.Dispose());
        await Host.DisposeAsync();
        _directory.Delete(recursive: true);
    }
}
