using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Bridging;

/// <summary>Three nodes with a daemon each, shared by tests that give the first one what they need by a reload.</summary>
public sealed class BridgedNodes : IAsyncLifetime
{
    private LabNetwork? _network;

    internal static TunnelOptions Tunnel => new();

    internal LabNetwork Network => _network!;

    internal LabNode A => Network.A;

    internal LabNode B => Network.B;

    internal LabNode C => Network.Nodes[2];

    /// <summary>By number of the node, from 0.</summary>
    internal List<OverlayDaemon> Daemons { get; } = [];

    internal OverlayDaemon Daemon => Daemons[0];

    /// <summary>Gives the first node a configuration of further lines.</summary>
    internal Task ReloadAsync(params string[] lines) => Daemon.ReloadAsync(BridgedPods.Configuration(Network, A, Tunnel, lines));

    public async Task InitializeAsync()
    {
        _network = await LabNetwork.CreateAsync(new LabOptions { Nodes = 3 });
        foreach (LabNode node in _network.Nodes)
        {
            await BridgedPods.ConnectAsync(node);
            Daemons.Add(await _network.StartDaemonAsync(node, BridgedPods.Configuration(_network, node, Tunnel)));
        }
    }

    public async Task DisposeAsync()
    {
        if (_network is not null) await _network.DisposeAsync();
    }
}
