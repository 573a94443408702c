using System.Net.Sockets;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Xunit.Abstractions;

namespace Overlay.SystemTests.Mtu;

/// <summary>A transfer that begins the moment the daemons run, before anybody can know that the path between them carries less, without any ICMP.</summary>
public sealed class UnknownPathTests(ITestOutputHelper output)
{
    private const int Beginning = 256 << 10;
    private const int Rest = 16 << 20;
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(1);

    [Theory]
    [InlineData(UnderlayFamily.Ipv4, AddressFamily.InterNetwork)]
    [InlineData(UnderlayFamily.Ipv4, AddressFamily.InterNetworkV6)]
    [InlineData(UnderlayFamily.Ipv6, AddressFamily.InterNetwork)]
    public async Task Tcp_BulkBeforeThePathIsKnown_StartsWithinASecondAndLosesNothingAfter(UnderlayFamily outer, AddressFamily inner)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(RoutedPath.Options with { Family = outer });
        OverlayDaemon near = await network.StartDaemonAsync(network.A, RoutedPath.Tunnel);
        OverlayDaemon far = await network.StartDaemonAsync(network.B, RoutedPath.Tunnel);

        using BulkTransfer transfer = await BulkTransfer.ConnectAsync(network, inner);
        await transfer.SendWithinAsync(Start, Beginning, network);
        long lost = await BulkTransfer.LostAsync(network);
        output.WriteLine($"{lost} segments were lost at the beginning");

        await transfer.SendAsync(Rest);
        await BulkTransfer.LostNothingSinceAsync(network, lost);
        await UnderlayMtu.FoundAsync(RoutedPath.Options.MiddleMtu, near, far);
    }
}
