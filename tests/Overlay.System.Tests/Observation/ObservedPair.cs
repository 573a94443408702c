using System.Net;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Observation;

/// <summary>Two nodes with a daemon each; the first is monitored over TCP, and leaves captures on an alarm.</summary>
public sealed class ObservedPair : IAsyncLifetime
{
    private const string Listen = "127.0.0.1:9479";

    private readonly DirectoryInfo _directory = NetworkNamespace.CreateDirectory();
    private LabNetwork? _network;

    internal LabNode A => _network!.A;

    internal LabNode B => _network!.B;

    internal OverlayDaemon DaemonA { get; private set; } = null!;

    internal OverlayDaemon DaemonB { get; private set; } = null!;

    /// <summary>Where the first node's alarms leave captures.</summary>
    internal string Alarms => Path.Combine(_directory.FullName, "alarms");

    public async Task InitializeAsync()
    {
        _network = await LabNetwork.CreateAsync(new LabOptions());
        var tunnel = new TunnelOptions { Egress = "udp-gso" };
        DaemonA = await _network.StartDaemonAsync(A, DaemonConfiguration.For(A, [B], tunnel) with
        {
            Sections = $"metrics: {{ listen: \"{Listen}\" }}\ncapture: {{ alarms: {Alarms} }}\n",
        });
        DaemonB = await _network.StartDaemonAsync(B, tunnel);
    }

    public async Task DisposeAsync()
    {
        if (_network is not null) await _network.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    /// <summary>A path for a file that goes with the pair.</summary>
    internal string File(string name) => Path.Combine(_directory.FullName, name);

    /// <summary>Asks the first node's monitoring address, from its own host.</summary>
    internal Task<(HttpStatusCode Status, string Type, string Text)> GetAsync(string path) => MonitoringClient.GetAsync(A.Host, Listen, path);

    /// <summary>Runs the client against a daemon.</summary>
    internal static Task<CommandResult> OverlayAsync(OverlayDaemon daemon, params string[] arguments) =>
        Command.RunAsync(Command.ShortDeadline, null, Repository.Client, [.. arguments, "--socket", daemon.Socket]);
}
