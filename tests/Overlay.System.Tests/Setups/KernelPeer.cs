using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Setups;

/// <summary>A node with the daemon, and one of the kernel's own as Flannel sets it up.</summary>
public sealed class KernelPeer<TSetup> : IAsyncLifetime
    where TSetup : ISetup
{
    private LabNetwork? _network;

    internal LabNetwork Network => _network!;

    internal LabNode Ours => Network.A;

    internal LabNode Kernel => Network.B;

    internal OverlayDaemon Daemon { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        _network = await LabNetwork.CreateAsync(TSetup.Options);
        await _network.StartKernelVxlanAsync(Kernel, TSetup.Tunnel);
        Daemon = await _network.StartDaemonAsync(Ours, TSetup.Tunnel);
    }

    public async Task DisposeAsync()
    {
        if (_network is not null) await _network.DisposeAsync();
    }
}
