using System.Net;
using Overlay.Agent.Planning;
using Overlay.Agent.Tests.Configuration;
using Overlay.Control.Model;

namespace Overlay.Agent.Tests.Planning;

/// <summary>The sample's peers are 192.0.2.2 and 2001:db8::3; its first segment has an MTU of 1430, its second has none.</summary>
public sealed class DeviceMtuTests
{
    private static readonly IPAddress PeerB = IPAddress.Parse("192.0.2.2");
    private static readonly IPAddress PeerC = IPAddress.Parse("2001:db8::3");

    private static HostInterface Eth0 => new("eth0", 1500, [Address("192.0.2.1", 24), Address("2001:db8::1", 64)]);

    [Theory]
    [InlineData(1500, 1500, 1430)]
    [InlineData(9000, 9000, 8930)]
    [InlineData(1400, 9000, 1350)]
    [InlineData(9000, 1480, 1410)]
    public void Resolve_WaysToPeers_NarrowestLessItsOwnOverheadIsTheDevices(int overIPv4, int overIPv6, int expected)
    {
        NodePlan plan = Resolve(SampleConfiguration.With("    mtu: 1430\n", ""), Ways(overIPv4, overIPv6));

        Assert.Equal([expected, expected], plan.Segments.Select(segment => segment.Mtu));
        Assert.Equal((overIPv4, overIPv6), (plan.MtuTo("node-b"), plan.MtuTo("node-c")));
        Assert.Empty(plan.Warnings);
    }

    [Fact]
    public void Resolve_NoWayToAPeer_CountsTheUnderlays()
    {
        NodePlan plan = Resolve(SampleConfiguration.Text, (_, _) => null);

        Assert.Equal(1430, plan.Segments[1].Mtu);
        Assert.Equal(1500, plan.MtuTo("node-b"));
    }

    [Fact]
    public void Resolve_ConfiguredMtuBeyondAWay_IsRefusedWithTheNumbers()
    {
        var problems = new ConfigurationProblems("overlay.yaml");

        Assert.Null(PlanResolver.Resolve(SampleConfiguration.Read(SampleConfiguration.Text), [Eth0], 1, problems, Ways(1400, 1500)));

        Assert.Equal(
            "overlay.yaml:20: mtu 1430 of segment 'pods' does not fit: the way to peer 'node-b' by 'eth7' carries 1400 bytes, and vxlan takes 50 of them, "
            + "which leaves 1350 inside; write at most 1350, or leave it out",
            Assert.Single(problems.Lines));
    }

    [Fact]
    public void Resolve_ConfiguredMtuThatFittedBefore_IsLessenedWithAWarningUntilItFitsAgain()
    {
        NodePlan start = Resolve(SampleConfiguration.Text, Ways(1500, 1500));

        NodePlan narrow = Resolve(SampleConfiguration.Text, Ways(1400, 1500), start);
        Assert.Equal(1350, narrow.Segments[0].Mtu);
        Assert.StartsWith("mtu 1430 of segment 'pods' does not fit: ", Assert.Single(narrow.Warnings), StringComparison.Ordinal);
        Assert.EndsWith("; device 'overlay0' has MTU 1350 until it fits again", Assert.Single(narrow.Warnings), StringComparison.Ordinal);

        NodePlan wide = Resolve(SampleConfiguration.Text, Ways(1500, 1500), narrow);
        Assert.Equal(1430, wide.Segments[0].Mtu);
        Assert.Empty(wide.Warnings);
    }

    [Fact]
    public void Resolve_AnotherMtuThatDoesNotFit_IsRefusedInAReload()
    {
        NodePlan start = Resolve(SampleConfiguration.Text, Ways(1500, 1500));
        var problems = new ConfigurationProblems("overlay.yaml");

        PlanResolver.Resolve(SampleConfiguration.Read(SampleConfiguration.With("mtu: 1430", "mtu: 1431")), [Eth0], 2, problems, Ways(1500, 1500), start);

        Assert.Contains("mtu 1431 of segment 'pods' does not fit", Assert.Single(problems.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void Resolve_TooLittleForIPv6_DeviceHasTheLeastAndAWarningSaysWhatHappens()
    {
        NodePlan plan = Resolve(SampleConfiguration.With("    mtu: 1430\n", ""), Ways(1280, 1280));

        Assert.Equal(1280, plan.Segments[0].Mtu);
        Assert.Contains("which leaves 1210 inside: IPv6 packets above that are fragmented outside", plan.Segments[0].MtuWarning, StringComparison.Ordinal);
    }

    [Fact]
    public void Resolve_UnderlayTooSmallForAnything_IsRefusedAtStartAndWarnedOfLater()
    {
        string text = SampleConfiguration.With("    mtu: 1430\n", "");
        var problems = new ConfigurationProblems("overlay.yaml");

        Assert.Null(PlanResolver.Resolve(SampleConfiguration.Read(text), [Eth0], 1, problems, Ways(100, 100)));
        Assert.Equal(2, problems.Lines.Count());
        Assert.Contains("which leaves 30 inside", problems.Lines.First(), StringComparison.Ordinal);

        NodePlan later = Resolve(text, Ways(100, 100), Resolve(text, Ways(1500, 1500)));
        Assert.Equal(2, later.Warnings.Count());
    }

    [Fact]
    public void Resolve_WayThatLeadsBackIntoADevice_IsWarnedOfAndDecidesNoMtu()
    {
        NodePlan there = Resolve(SampleConfiguration.Text, Ways(1500, 1500));
        NodePlan back = Resolve(SampleConfiguration.Text, (peer, underlay) =>
            peer.Equals(PeerB) ? new PeerWay("overlay0", underlay.Mtu) { LeadsBack = true } : Ways(1500, 1500)(peer, underlay));

        Assert.Contains("the host's route to peer 'node-b' leads into overlay0", Assert.Single(back.Warnings), StringComparison.Ordinal);
        Assert.Equal((true, false), (back.LeadsBack("node-b"), there.LeadsBack("node-b")));
        Assert.Equal(there.Segments.Select(segment => segment.Mtu), back.Segments.Select(segment => segment.Mtu));
    }

    private static NodePlan Resolve(string text, PeerWayFinder ways, NodePlan? before = null)
    {
        var problems = new ConfigurationProblems("overlay.yaml");
        NodePlan? plan = PlanResolver.Resolve(SampleConfiguration.Read(text), [Eth0], 1, problems, ways, before);
        Assert.Empty(problems.Lines);
        return plan!;
    }

    private static PeerWayFinder Ways(int overIPv4, int overIPv6) => (peer, _) =>
        peer.Equals(PeerB) ? new PeerWay("eth7", overIPv4) : peer.Equals(PeerC) ? new PeerWay("eth8", overIPv6) : null;

    private static InterfaceAddress Address(string address, int length) => new(IPAddress.Parse(address), length);
}
