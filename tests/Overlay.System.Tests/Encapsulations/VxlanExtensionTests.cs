using System.Globalization;
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

    /// <summary>
    /// The kernel's device puts marks of packets into the header and back. A host that is pinged answers with the mark of the question, which
    /// thus went both ways; of TCP super-packets each host counts those that come without the other's mark.
    /// </summary>
    [Theory]
    [InlineData(UnderlayFamily.Ipv4)]
    [InlineData(UnderlayFamily.Ipv6)]
    public async Task Vxlan_GroupPolicyByMark_IsTheMarkOfThePacketAtBothEnds(UnderlayFamily family)
    {
        const string policyOfA = "0x00480201", policyOfB = "0x0000ffff";
        var tunnel = new TunnelOptions { SegmentLines = ["groupPolicy: mark"], KernelWords = "gbp", KernelChecksums = true };
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        await network.StartKernelVxlanAsync(network.B, tunnel);
        await network.StartDaemonAsync(network.A, tunnel);
        foreach (LabNode node in network.Nodes)
        {
            await node.Host.SysctlAsync("net.ipv4.fwmark_reflect=1", "net.ipv6.fwmark_reflect=1");
            (string own, string others) = node == network.A ? (policyOfA, policyOfB) : (policyOfB, policyOfA);
            string device = node == network.A ? "overlay0" : "flannel.1";
            await node.Host.CheckAsync("nft", $$"""
                table inet marks {
                    counter asked { }
                    counter came { }
                    counter strange { }
                    chain input { type filter hook input priority 0; iifname "{{device}}" meta mark 0x0201 counter name asked; }
                    chain pods { type filter hook prerouting priority -300; iifname "pod0" meta mark set {{own}}; }
                    chain forward {
                        type filter hook forward priority 0;
                        iifname "{{device}}" meta mark {{others}} counter name came;
                        iifname "{{device}}" meta mark != {{others}} counter name strange;
                    }
                }
                """);
        }

        foreach ((string from, string to) in new[] { (network.B.Tunnel4, network.A.Tunnel4), (network.B.Tunnel6, network.A.Tunnel6) })
            await network.B.Host.CheckAsync("ping", "-c", "3", "-i", "0.01", "-W", "5", "-m", "513", "-I", from, to);
        await VerifiedTraffic.ExchangeAsync(network.A, network.B, network.Options);

        foreach (LabNode node in network.Nodes)
        {
            Assert.Equal(6, await CountedAsync(node, "asked"));
            Assert.InRange(await CountedAsync(node, "came"), 1, long.MaxValue);
            Assert.Equal(0, await CountedAsync(node, "strange"));
        }
        await network.A.Host.CheckAsync("nft", "flush", "ruleset");
        await Eventually.TrueAsync(
            async () => (await network.A.Host.CheckAsync("nft", "list", "ruleset")).Contains("overlay-marks-overlay0", StringComparison.Ordinal),
            TimeSpan.FromSeconds(30), "the rules are back");
    }

    [Fact]
    public async Task Vxlan_GroupPolicyByMarkNoMore_LeavesNoRulesBehind()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        var marked = new TunnelOptions { SegmentLines = ["groupPolicy: mark"] };
        OverlayDaemon killed = await network.StartDaemonAsync(network.A, Persistent(marked));
        await killed.KillAsync();
        Assert.Contains("overlay-marks-overlay0", await network.A.Host.CheckAsync("nft", "list", "ruleset"), StringComparison.Ordinal);

        await network.StartDaemonAsync(network.A, Persistent(new TunnelOptions()));

        Assert.DoesNotContain("overlay-marks-overlay0", await network.A.Host.CheckAsync("nft", "list", "ruleset"), StringComparison.Ordinal);

        DaemonConfiguration Persistent(TunnelOptions tunnel) => DaemonConfiguration.For(network.A, [network.B], tunnel) with { Persistent = true };
    }

    private static async Task<long> CountedAsync(LabNode node, string counter)
    {
        string[] words = (await node.Host.CheckAsync("nft", "list", "counter", "inet", "marks", counter)).Split([' ', '\n', '\t'], StringSplitOptions.RemoveEmptyEntries);
        return long.Parse(words[Array.IndexOf(words, "packets") + 1], CultureInfo.InvariantCulture);
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
