using System.Net;
using Overlay.Agent.Planning;
using Overlay.Agent.Tests.Configuration;
using Overlay.Control.Model;
using Overlay.Dataplane.Mtu;

namespace Overlay.Agent.Tests.Planning;

public sealed class PlanResolverTests
{
    private static readonly HostInterface Loopback = new("lo", 65536, [Address("127.0.0.1", 8), Address("::1", 128)]);

    private static readonly HostInterface Eth0 = new(
        "eth0", 1500, [Address("192.0.2.1", 24), Address("fe80::1", 64), Address("2001:db8::1", 64)]);

    private static string PeerBehindAGateway => SampleConfiguration.With("address: 192.0.2.2", "address: 203.0.113.5")
        .Replace("10.244.2.0/24", "203.0.113.0/24", StringComparison.Ordinal);

    [Fact]
    public void Resolve_GivenAddresses_TakesThemAndTheStateOfTheFile()
    {
        NodePlan plan = Resolve(SampleConfiguration.Text, Loopback, Eth0);

        Assert.Equal(IPAddress.Parse("192.0.2.1"), plan.Underlay.AddressV4);
        Assert.Equal(IPAddress.Parse("2001:db8::1"), plan.Underlay.AddressV6);
        Assert.Equal(["pods", "lab"], plan.State.Segments.Select(segment => segment.Name));
        Assert.Equal("192.0.2.2:4790", plan.State.Peers[0].Endpoint.ToString());
        Assert.Equal([IPNetwork.Parse("10.244.2.0/24")], plan.Segments[0].Prefixes);
    }

    [Fact]
    public void Resolve_MtuPolicy_HoldsForEveryPeer()
    {
        string text = SampleConfiguration.With("  egress: auto\n", "  egress: auto\n  mssClamp: 1200\n  fragment: drop\n");

        Assert.All(Resolve(text, Loopback, Eth0).State.Peers, peer => Assert.Equal((1200, false), (peer.MtuPolicy.MssClamp, peer.MtuPolicy.FragmentsInner)));
        Assert.All(Resolve(SampleConfiguration.Text, Loopback, Eth0).State.Peers, peer => Assert.Equal(MtuPolicy.Default, peer.MtuPolicy));

        string ofOne = text.Replace("    port: 4790\n", "    port: 4790\n    mssClamp: off\n    fragment: inner\n", StringComparison.Ordinal);
        Assert.Equal(
            [(0, true), (1200, false)],
            Resolve(ofOne, Loopback, Eth0).State.Peers.Select(peer => (peer.MtuPolicy.MssClamp!.Value, peer.MtuPolicy.FragmentsInner)));
    }

    [Fact]
    public void Resolve_ReversePath_HoldsForEveryPeerThatDoesNotSayOtherwise()
    {
        string strict = SampleConfiguration.With("  egress: auto\n", "  egress: auto\n  reversePath: strict\n");
        string butOne = strict.Replace("    port: 4790\n", "    port: 4790\n    reversePath: off\n", StringComparison.Ordinal);

        Assert.All(Resolve(SampleConfiguration.Text, Loopback, Eth0).State.Peers, peer => Assert.False(peer.ChecksReversePath));
        Assert.All(Resolve(strict, Loopback, Eth0).State.Peers, peer => Assert.True(peer.ChecksReversePath));
        Assert.Equal([false, true], Resolve(butOne, Loopback, Eth0).State.Peers.Select(peer => peer.ChecksReversePath));
    }

    [Fact]
    public void Resolve_OneMacForTwoSegments_IsWarnedOf()
    {
        string text = SampleConfiguration.Text + "  - { prefix: 10.245.2.0/24, peer: node-b, segment: lab }\n";
        var problems = new ConfigurationProblems("overlay.yaml");

        NodePlan plan = PlanResolver.Resolve(SampleConfiguration.Read(text), [Loopback, Eth0], 1, problems)!;

        Assert.Equal(plan.State.Peers[0].Macs["pods"], plan.State.Peers[0].Macs["lab"]);
        Assert.StartsWith(
            "overlay.yaml:30: warning: mac 02:00:00:00:00:02 of peer 'node-b' is that of its devices in the segments pods, lab", Assert.Single(problems.Warnings),
            StringComparison.Ordinal);
    }

    [Fact]
    public void Resolve_NoAddresses_TakesTheFirstGlobalOneOfEachFamily()
    {
        var host = new HostInterface("eth0", 1500, [Address("169.254.3.4", 16), Address("fe80::1", 64), .. Eth0.Addresses, Address("192.0.2.9", 24)]);

        NodePlan plan = Resolve(SampleConfiguration.With("  addresses: [192.0.2.1, \"2001:db8::1\"]\n", ""), Loopback, host);

        Assert.Equal(["192.0.2.1", "2001:db8::1"], plan.Underlay.Addresses.Select(address => address.ToString()));
    }

    [Fact]
    public void Resolve_NoMtu_TakesTheUnderlaysLessTheEncapsulation()
    {
        NodePlan overIPv6 = Resolve(SampleConfiguration.Text, Loopback, Eth0);
        Assert.Equal(1430, overIPv6.Segments[1].Mtu);

        string onlyIPv4 = SampleConfiguration.With("\"2001:db8::3\"", "192.0.2.3");
        Assert.Equal(1450, Resolve(onlyIPv4, Loopback, Eth0).Segments[1].Mtu);
        Assert.Equal(8950, Resolve(onlyIPv4, Loopback, Eth0 with { Mtu = 9000 }).Segments[1].Mtu);
        Assert.Equal(65_486, Resolve(onlyIPv4, Loopback, Eth0 with { Mtu = 65_536 }).Segments[1].Mtu);
    }

    [Theory]
    [InlineData("", 1430, null)]
    [InlineData("    encapsulation: geneve\n", 1430, 6081)]
    [InlineData("    encapsulation: geneve\n    payload: ip\n", 1444, 6081)]
    [InlineData("    encapsulation: geneve\n    options: [ { class: 1, type: 2, data: \"01020304\" } ]\n", 1422, 6081)]
    [InlineData("    vlan: keep\n", 1422, null)]
    public void Resolve_AnyFormat_LeavesItsHeadersRoomAndKnowsItsPort(string lines, int mtu, int? peerPort)
    {
        NodePlan plan = Resolve(SampleConfiguration.With("    vni: 43\n", $"    vni: 43\n{lines}"), Loopback, Eth0);

        Assert.Equal(mtu, plan.Segments[1].Mtu);
        Assert.Equal(peerPort, (int?)plan.State.Segments[1].PeerPort);
    }

    [Fact]
    public void Resolve_OwnDeviceThereFromBefore_IsNoPartOfTheUnderlay()
    {
        var own = new HostInterface("overlay0", 1430, [Address("192.0.2.2", 32)]);

        Resolve(SampleConfiguration.Text, Loopback, Eth0, own);
    }

    [Fact]
    public void Resolve_MissingInterface_NamesTheNearest()
    {
        string refusal = Assert.Single(Refusals(SampleConfiguration.Text, Loopback, Eth0 with { Name = "eth1" }));

        Assert.Equal("overlay.yaml:5: the interface 'eth0' does not exist; did you mean 'eth1'?", refusal);
    }

    [Fact]
    public void Resolve_AddressNotOnTheInterface_ListsThoseThatAre()
    {
        var other = new HostInterface("eth1", 1500, [Address("2001:db8::1", 64)]);

        string refusal = Assert.Single(Refusals(SampleConfiguration.Text, Eth0 with { Addresses = [Address("192.0.2.1", 24)] }, other));

        Assert.Equal("overlay.yaml:6: underlay address 2001:db8::1 is not on the interface 'eth0'; assign it, or write one of: 192.0.2.1", refusal);
    }

    [Fact]
    public void Resolve_InterfaceWithoutGlobalAddress_IsRefused()
    {
        string text = SampleConfiguration.With("  addresses: [192.0.2.1, \"2001:db8::1\"]\n", "");

        string refusal = Assert.Single(Refusals(text, Eth0 with { Addresses = [Address("fe80::1", 64)] }));

        Assert.StartsWith("overlay.yaml:5: the interface 'eth0' has no global address; ", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Resolve_PeerOnAnyOwnInterface_IsTheNodeItself()
    {
        var other = new HostInterface("eth1", 1500, [Address("192.0.2.2", 32)]);

        string refusal = Assert.Single(Refusals(SampleConfiguration.Text, Eth0, other));

        Assert.StartsWith("overlay.yaml:28: address 192.0.2.2 of peer 'node-b' is this node's own, on 'eth1'; ", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Resolve_PeerOfAFamilyTheInterfaceLacks_IsRefused()
    {
        string text = SampleConfiguration.With("  addresses: [192.0.2.1, \"2001:db8::1\"]\n", "");

        string refusal = Assert.Single(Refusals(text, Eth0 with { Addresses = [Address("192.0.2.1", 24)] }));

        Assert.StartsWith("overlay.yaml:31: address 2001:db8::3 of peer 'node-c' is of a family", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Resolve_MtuThatDoesNotFit_NamesTheLargest()
    {
        string refusal = Assert.Single(Refusals(SampleConfiguration.With("mtu: 1430", "mtu: 1431"), Eth0));

        Assert.Equal(
            "overlay.yaml:20: mtu 1431 of segment 'pods' does not fit: the underlay's MTU is 1500, and vxlan takes 70 of them, which leaves 1430 inside; write at most 1430, or leave it out",
            refusal);
    }

    [Theory]
    [InlineData("192.0.2.2/32")]
    [InlineData("192.0.2.0/24")]
    [InlineData("192.0.2.0/25")]
    public void Resolve_RouteThatHoldsAPeer_IsRefused(string prefix)
    {
        string[] refusals = Refusals(SampleConfiguration.With("10.244.2.0/24", prefix), Eth0);

        Assert.StartsWith(
            $"overlay.yaml:35: route {prefix} holds the underlay address 192.0.2.2 of peer 'node-b'; ", refusals[0], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0.0.0.0/0")]
    [InlineData("203.0.113.0/24")]
    public void Resolve_RouteThatHoldsAPeerBehindAGateway_IsRefused(string kernelRoute)
    {
        string[] refusals = Refusals(PeerBehindAGateway, Eth0 with { Routes = [IPNetwork.Parse(kernelRoute)] });

        Assert.StartsWith(
            "overlay.yaml:35: route 203.0.113.0/24 holds the underlay address 203.0.113.5 of peer 'node-b'; ", refusals[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Resolve_RouteThatHoldsAPeerWithALongerKernelRoute_IsAccepted()
    {
        Resolve(PeerBehindAGateway, Eth0 with { Routes = [IPNetwork.Parse("203.0.113.0/25")] });
    }

    [Fact]
    public void Resolve_RouteWiderThanTheUnderlaysLink_IsAccepted()
    {
        Resolve(SampleConfiguration.With("10.244.2.0/24", "0.0.0.0/0"), Eth0);
    }

    [Fact]
    public void Accept_SegmentsInAnotherOrder_KeepsTheOrderOfTheWorkers()
    {
        NodePlan before = Resolve(SampleConfiguration.Text, Eth0);
        string text = SampleConfiguration.Text;
        int pods = text.IndexOf("  - name: pods", StringComparison.Ordinal);
        int lab = text.IndexOf("  - name: lab", StringComparison.Ordinal);
        int end = text.IndexOf("peers:", StringComparison.Ordinal);
        NodePlan after = Resolve(text[..pods] + text[lab..end] + text[pods..lab] + text[end..], Eth0);
        Assert.Equal(["lab", "pods"], after.Segments.Select(segment => segment.Name));

        NodePlan? accepted = ReloadCheck.Accept(before, after, new ConfigurationProblems("overlay.yaml"));

        Assert.Equal(["pods", "lab"], accepted!.Segments.Select(segment => segment.Name));
        Assert.Equal(["pods", "lab"], accepted.State.Segments.Select(segment => segment.Name));
    }

    [Theory]
    [InlineData("node: node-a", "node: node-z", "overlay.yaml:1: node is node-z and was node-a, which takes a restart", 2)]
    [InlineData("overlayd.sock", "other.sock", "overlay.yaml:3: api: socket is")]
    [InlineData("  port: 4789", "  port: 4788", "overlay.yaml:7: what is listened on is vxlan 4788 and was vxlan 4789")]
    [InlineData(
        "  encapsulation: vxlan\n", "  encapsulation: vxlan\n  accept: [ipip]\n  ipipSegment: lab\n",
        "overlay.yaml:7: what is listened on is vxlan 4789, ipip and was vxlan 4789")]
    [InlineData("ttl: 64", "ttl: 63", "overlay.yaml:8: underlay: ttl is 63")]
    [InlineData("trafficClass: 0", "trafficClass: 4", "overlay.yaml:9: underlay: trafficClass is 4")]
    [InlineData("queues: 1", "queues: 2", "overlay.yaml:10: underlay: queues is 2")]
    [InlineData("egress: auto", "egress: udp-gso", "overlay.yaml:13: tunnel: egress is UdpGso")]
    [InlineData("vni: 42", "vni: 44", "overlay.yaml:17: vni of segment 'pods' is 44")]
    [InlineData("device: overlay1", "device: overlay2", "overlay.yaml:25: device of segment 'lab' is overlay2")]
    [InlineData("mac: 02:00:00:00:00:01", "mac: 02:00:00:00:00:09", "overlay.yaml:19: mac of segment 'pods' is")]
    [InlineData("persistent: false", "persistent: true", "overlay.yaml:21: persistent of segment 'pods' is True")]
    [InlineData("  interface: eth0\n", "", "overlay.yaml:5: underlay: interface is (none) and was eth0")]
    public void Accept_WhatCannotChangeLive_IsRefused(string find, string replacement, string expected, int refusals = 1)
    {
        NodePlan before = Resolve(SampleConfiguration.Text, Eth0);
        NodePlan after = Resolve(SampleConfiguration.With(find, replacement), Eth0);
        var problems = new ConfigurationProblems("overlay.yaml");

        Assert.Null(ReloadCheck.Accept(before, after, problems));

        // With the node's name goes the derived MAC of the segment that has no other.
        Assert.Equal(refusals, problems.Lines.Count());
        Assert.StartsWith(expected, problems.Lines.First(), StringComparison.Ordinal);
        Assert.Contains("; restart overlayd, or ", problems.Lines.First(), StringComparison.Ordinal);
    }

    private static NodePlan Resolve(string text, params HostInterface[] host)
    {
        var problems = new ConfigurationProblems("overlay.yaml");
        NodePlan? plan = PlanResolver.Resolve(SampleConfiguration.Read(text), host, 1, problems);
        Assert.Empty(problems.Lines);
        return plan!;
    }

    private static string[] Refusals(string text, params HostInterface[] host)
    {
        var problems = new ConfigurationProblems("overlay.yaml");
        Assert.Null(PlanResolver.Resolve(SampleConfiguration.Read(text), host, 1, problems));
        return [.. problems.Lines];
    }

    private static InterfaceAddress Address(string address, int length) => new(IPAddress.Parse(address), length);
}
