using Overlay.Rpc;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Mtu;

/// <summary>An interface of the underlay whose IPv6 carries less than its link, as a router may have told it.</summary>
public sealed class Ipv6LinkMtuTests
{
    private const int Carried = 1400;
    private const int Ipv6UdpVxlanEthernet = 40 + 8 + 8 + 14;

    [Fact]
    public async Task Start_Ipv6CarriesLessThanTheLink_DeviceFitsIt()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = UnderlayFamily.Ipv6 });
        await network.A.Host.SysctlAsync($"net.ipv6.conf.{LabNode.UnderlayDevice}.mtu={Carried}");
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, new TunnelOptions());

        StatusDocument status = await daemon.StatusAsync();

        Assert.Equal(Carried - Ipv6UdpVxlanEthernet, status.Segments[0].Mtu);
        Assert.Equal(Carried, status.Peers[0].Path.LinkMtu);
    }
}
