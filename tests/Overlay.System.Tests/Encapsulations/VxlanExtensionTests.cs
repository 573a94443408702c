using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>VXLAN's options against the kernel's and Open vSwitch's: checksums, group policy, the largest VNI, jumbo frames.</summary>
public sealed class VxlanExtensionTests
{
    private const int GroupPolicyFlags = 0x8800;

    [Theory]
    [InlineData(UnderlayFamily.Ipv4, 1500)]
    [InlineData(UnderlayFamily.Ipv6, 1500)]
    [InlineData(UnderlayFamily.Ipv4, 9000)]
    public Task Vxlan_KernelAtTheLargestVni_TalksBothWays(UnderlayFamily family, int mtu) => RunWithKernelAsync(
        new LabOptions { Family = family, UnderlayMtu = mtu }, new TunnelOptions { Vni = 16_777_215, KernelChecksums = true });

    [Theory]
    [InlineData(UnderlayFamily.Ipv4, KernelForwarding.PointToPoint)]
    [InlineData(UnderlayFamily.Ipv6, KernelForwarding.PointToPoint)]
    [InlineData(UnderlayFamily.Ipv4, KernelForwarding.Learned)]
    public Task Vxlan_KernelThatForwardsOtherwise_TalksBothWays(UnderlayFamily family, KernelForwarding forwarding) => RunWithKernelAsync(
        new LabOptions { Family = family },
        new TunnelOptions { Port = 8472, KernelForwarding = forwarding, KernelChecksums = true });

    [Fact]
    public Task Vxlan_NoChecksumsOverIpv4_TalksWithTheKernel() => RunWithKernelAsync(
        new LabOptions(), new TunnelOptions { TunnelLines = ["checksum: false"] }, hasOuterChecksum: false);

    [Fact]
    public Task Vxlan_NoChecksumsOverIpv6ByChoice_TalksWithTheKernel() => RunWithKernelAsync(
        new LabOptions { Family = UnderlayFamily.Ipv6 },
        new TunnelOptions { TunnelLines = ["zeroChecksumIPv6: [send, receive]"], KernelWords = "udp6zerocsumtx udp6zerocsumrx" },
        hasOuterChecksum: false);

    [Fact]
    public async Task Vxlan_GroupPolicy_IsWrittenAndTheKernelTalks()
    {
        var tunnel = new TunnelOptions { SegmentLines = ["groupPolicy: 513"], Flags = GroupPolicyFlags, KernelWords = "gbp" };

        IReadOnlyList<CapturedDatagram> sent = await RunWithKernelAsync(new LabOptions(), tunnel);

        Assert.All(sent, datagram => Assert.Equal(513, datagram.GroupPolicy));
    }

    [Theory]
    [InlineData(UnderlayFamily.Ipv4)]
    [InlineData(UnderlayFamily.Ipv6)]
    public async Task Vxlan_OpenVSwitch_TalksBothWays(UnderlayFamily family)
    {
        var options = new LabOptions { Family = family };
        var tunnel = new TunnelOptions();
        await using OpenVSwitchPeer pair = await OpenVSwitchPeer.CreateAsync(options, tunnel, "options:csum=true");

        VerifiedTraffic.Rules(pair.Ours, pair.Theirs, options, tunnel)
            .Verify(await VerifiedTraffic.RunAsync(pair.Ours, pair.Theirs, options, tunnel));
    }

    private static async Task<IReadOnlyList<CapturedDatagram>> RunWithKernelAsync(
        LabOptions options, TunnelOptions tunnel, bool hasOuterChecksum = true)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(options);
        await network.StartKernelVxlanAsync(network.B, tunnel);
        await network.StartDaemonAsync(network.A, tunnel);

        IReadOnlyList<CapturedDatagram> sent = await VerifiedTraffic.RunAsync(network.A, network.B, options, tunnel);

        (VerifiedTraffic.Rules(network.A, network.B, options, tunnel) with { HasOuterChecksum = hasOuterChecksum }).Verify(sent);
        return sent;
    }
}
