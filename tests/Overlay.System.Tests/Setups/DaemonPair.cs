using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Setups;

/// <summary>Two nodes with a daemon each, shared by the tests of a class.</summary>
public sealed class DaemonPair<TSetup> : IAsyncLifetime
    where TSetup : ISetup
{
    private LabNetwork? _network;

    internal LabNetwork Network => _network!;

    internal LabNode A => Network.A;

    internal LabNode B => Network.B;

    internal OverlayDaemon DaemonA { get; private set; } = null!;

    internal OverlayDaemon DaemonB { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        _network = await LabNetwork.CreateAsync(TSetup.Options);
        DaemonA = await _network.StartDaemonAsync(A, TSetup.Tunnel);
        DaemonB = await _network.StartDaemonAsync(B, TSetup.Tunnel);
    }

    public async Task DisposeAsync()
    {
        if (_network is not null) await _network.DisposeAsync();
    }
}
