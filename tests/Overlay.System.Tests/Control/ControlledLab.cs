using System.Diagnostics;
using System.Text.Json;
using Overlay.Rpc.Security;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Control;

/// <summary>A controller and hosts on one switch, in namespaces; each host's overlayd is told its peers by the controller.</summary>
internal sealed class ControlledLab : IAsyncDisposable
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(40);

    private readonly DirectoryInfo _directory = NetworkNamespace.CreateDirectory();
    private readonly List<NetworkNamespace> _namespaces = [];
    private readonly List<RunningProcess> _processes = [];
    private NetworkNamespace _switch = null!;
    private RunningProcess _controller = null!;
    private int _graceSeconds;

    public string Folder => _directory.FullName;

    public NetworkNamespace ControllerHost { get; private set; } = null!;

    /// <summary>The controller with a network, which takes nodes for lost after two seconds.</summary>
    /// <param name="graceSeconds">For how long more such nodes keep their blocks.</param>
    public static async Task<ControlledLab> StartAsync(int graceSeconds = 3600)
    {
        var lab = new ControlledLab { _graceSeconds = graceSeconds };
        lab._switch = await lab.AddNamespaceAsync("switch");
        await lab._switch.IpAsync("link add bridge0 type bridge", "link set bridge0 up");
        lab.ControllerHost = await lab.AddHostAsync(100);
        await OverlayAsync("pki", "init", "--dir", $"{lab.Folder}/pki");
        await OverlayAsync("pki", "controller", "ctl", "--host", "192.0.2.100", "--dir", $"{lab.Folder}/pki");
        await lab.StartControllerAsync();
        await lab.AdministerAsync("network", "create", "pods", "--vni", "42", "--pool", "10.244.0.0/16", "--pool", "fd00:244::/64");
        return lab;
    }

    public async Task StartControllerAsync()
    {
        string file = $"{Folder}/controller.yaml";
        await File.WriteAllTextAsync(file, $$"""
            store: { kind: sqlite, file: {{Folder}}/control.db }
            listen: 192.0.2.100:7443
            socket: {{Folder}}/controller.sock
            tls: { certificate: {{Folder}}/pki/controller-ctl.pem, key: {{Folder}}/pki/controller-ctl.key, authority: {{Folder}}/pki/ca.pem }
            nodes: { leaseSeconds: 2, graceSeconds: {{_graceSeconds}} }
            """);
        _controller = ControllerHost.Start([Repository.Controller, "--config", file]);
        _processes.Add(_controller);
        await _controller.WaitForTextAsync("msg=\"ready", Deadline);
    }

    public async Task KillControllerAsync()
    {
        _controller.Signal(Libc.SignalKill);
        await _controller.WaitForExitAsync(Deadline);
    }

    /// <summary>Cuts the controller off from the nodes, or joins it to them again.</summary>
    public Task ConnectControllerAsync(bool connected) => _switch.IpAsync($"link set port100 {(connected ? "up" : "down")}");

    /// <summary>A host on the switch at 192.0.2.N.</summary>
    public async Task<NetworkNamespace> AddHostAsync(int number)
    {
        NetworkNamespace host = await AddNamespaceAsync($"host-{number}");
        await _switch.IpAsync(
            $"link add port{number} type veth peer name underlay0 netns {host.Name}", $"link set port{number} master bridge0", $"link set port{number} up");
        await host.IpAsync($"address add 192.0.2.{number}/24 dev underlay0", "link set underlay0 up");
        return host;
    }

    /// <summary>Starts overlayd, which is ready as soon as it forwards, whatever it knows.</summary>
    /// <param name="state">Name of the folder of what outlives it.</param>
    /// <param name="more">Further lines: of the section 'control:', and after it.</param>
    /// <param name="clock">How far the wall clock of the daemon is from the host's, as libfaketime takes it; empty: it is the host's.</param>
    public async Task<RunningProcess> StartNodeAsync(NetworkNamespace host, string node, string state, string more = "", string clock = "")
    {
        string certificate = $"{Folder}/pki/node-{node}.pem";
        if (!File.Exists(certificate)) await OverlayAsync("pki", "node", node, "--dir", $"{Folder}/pki");
        string file = $"{Folder}/{state}.yaml";
        await File.WriteAllTextAsync(file, $$"""
            node: {{node}}
            api: { socket: {{SocketOf(state)}} }
            underlay: { interface: underlay0 }
            tunnel: { egress: udp-gso }
            control:
              controllers: [192.0.2.100:7443]
              certificate: {{certificate}}
              key: {{Folder}}/pki/node-{{node}}.key
              authority: {{Folder}}/pki/ca.pem
              state: {{Folder}}/{{state}}
            {{more}}
            """);
        Dictionary<string, string>? environment = clock.Length == 0 ? null : new()
        {
            ["LD_PRELOAD"] = Directory.GetDirectories("/usr/lib", "*-linux-gnu").Select(folder => $"{folder}/faketime/libfaketime.so.1").First(File.Exists),
            ["FAKETIME"] = clock,
            ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1",
        };
        RunningProcess daemon = host.Start([Repository.Daemon, "--config", file], environment);
        _processes.Add(daemon);
        await daemon.WaitForTextAsync("msg=\"ready", Deadline);
        return daemon;
    }

    /// <summary>Makes a node's certificate that is good for so long, for when it is started.</summary>
    public void IssueNode(string node, TimeSpan life)
    {
        using var authority = CertificateAuthority.Open(File.ReadAllText($"{Folder}/pki/ca.pem"), File.ReadAllText($"{Folder}/pki/ca.key"));
        IssuedCertificate made = authority.Issue(new CertificateIdentity(CertificateRole.Node, node), [], DateTimeOffset.UtcNow, life);
        File.WriteAllText($"{Folder}/pki/node-{node}.key", made.KeyPem);
        File.WriteAllText($"{Folder}/pki/node-{node}.pem", made.CertificatePem);
    }

    /// <summary>Runs <c>overlay pki</c> on the lab's authority, whose files controller and nodes use in place.</summary>
    public Task<string> PkiAsync(params string[] arguments) => OverlayAsync(["pki", .. arguments, "--dir", $"{Folder}/pki"]);

    public Task WaitForControllerTextAsync(string text) => _controller.WaitForTextAsync(text, Deadline);

    public async Task<JsonElement> StatusAsync(string state)
    {
        using JsonDocument document = JsonDocument.Parse(await OverlayAsync("status", "--json", "--socket", SocketOf(state)));
        return document.RootElement.Clone();
    }

    public Task<string> AdministerAsync(params string[] arguments) => OverlayAsync([.. arguments, "--socket", $"{Folder}/controller.sock"]);

    /// <summary>Starts the same, for a command that goes on until it is ended.</summary>
    public RunningProcess Administer(params string[] arguments) => RunningProcess.Start(Repository.Client, [.. arguments, "--socket", $"{Folder}/controller.sock"]);

    /// <summary>As <see cref="AdministerAsync"/>, however it ends.</summary>
    public Task<CommandResult> AskAsync(params string[] arguments) =>
        Command.RunAsync(Deadline, null, Repository.Client, [.. arguments, "--socket", $"{Folder}/controller.sock"]);

    /// <summary>Waits for the first IPv4 address that a node has on a network's device.</summary>
    public static async Task<string> AddressAsync(NetworkNamespace host, string device)
    {
        string? address = null;
        await UntilAsync(async () =>
        {
            CommandResult shown = await host.RunAsync(Deadline, "ip", "-4", "-o", "address", "show", "dev", device);
            string[] words = shown.Output.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            int at = Array.IndexOf(words, "inet");
            address = at < 0 ? null : words[at + 1].Split('/')[0];
            return address is not null;
        }, $"an address on {device}");
        return address!;
    }

    /// <summary>Waits until one address answers another.</summary>
    public static Task ReachesAsync(NetworkNamespace from, string source, string destination) => UntilAsync(
        async () => (await from.RunAsync(Deadline, "ping", "-n", "-c", "1", "-W", "1", "-I", source, destination)).ExitCode == 0, $"an answer of {destination} to {source}");

    public static async Task UntilAsync(Func<Task<bool>> isSo, string what)
    {
        long start = Stopwatch.GetTimestamp();
        while (!await isSo())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Deadline, $"no {what} within {Deadline}");
            await Task.Delay(50);
        }
    }

    public async ValueTask DisposeAsync()
    {
        _processes.ForEach(process => process.Dispose());
        foreach (NetworkNamespace each in Enumerable.Reverse(_namespaces)) await each.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    private string SocketOf(string state) => $"{Folder}/{state}.sock";

    private static Task<string> OverlayAsync(params string[] arguments) => Command.CheckAsync(Deadline, null, Repository.Client, arguments);

    private async Task<NetworkNamespace> AddNamespaceAsync(string label)
    {
        NetworkNamespace created = await NetworkNamespace.CreateAsync(label);
        _namespaces.Add(created);
        await created.ConfigureAsync();
        return created;
    }
}
