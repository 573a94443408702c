using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Setups;

/// <summary>A node with the daemon, and one of Open vSwitch's.</summary>
internal sealed class OpenVSwitchPeer : IAsyncDisposable
{
    private readonly OpenVSwitch _switch;

    private OpenVSwitchPeer(LabNetwork network, OpenVSwitch openVSwitch)
    {
        Network = network;
        _switch = openVSwitch;
    }

    public LabNetwork Network { get; }

    public LabNode Ours => Network.A;

    public LabNode Theirs => Network.B;

    public OpenVSwitch Switch => _switch;

    public OverlayDaemon Daemon { get; private init; } = null!;

    public static async Task<OpenVSwitchPeer> CreateAsync(LabOptions options, TunnelOptions tunnel, params string[] portOptions)
    {
        LabNetwork network = await LabNetwork.CreateAsync(options);
        OpenVSwitch? started = null;
        try
        {
            started = await OpenVSwitch.StartAsync(network.B, network.A, tunnel, portOptions);
            OverlayDaemon daemon = await network.StartDaemonAsync(network.A, tunnel);
            return new OpenVSwitchPeer(network, started) { Daemon = daemon };
        }
        catch
        {
            if (started is not null) await started.DisposeAsync();
            await network.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _switch.DisposeAsync();
        await Network.DisposeAsync();
    }
}
