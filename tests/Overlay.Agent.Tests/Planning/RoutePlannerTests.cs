using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Agent.Tests.Configuration;
using Overlay.Control.Model;

namespace Overlay.Agent.Tests.Planning;

/// <summary>Which routes the kernel is told of, and how.</summary>
public sealed class RoutePlannerTests
{
    private static readonly HostInterface Eth0 = new("eth0", 1500, [Address("192.0.2.1/24"), Address("2001:db8::1/64")]);

    [Fact]
    public void Resolve_DirectRoutes_LeadToPeersOnTheSubnetOnly()
    {
        SegmentPlan segment = Resolve("""
            - { prefix: 10.1.0.0/16, peer: near, direct: cross-subnet }
            - { prefix: 10.2.0.0/16, peer: far, direct: cross-subnet }
            - { prefix: 10.3.0.0/16, peer: near, direct: host-gw }
            - { prefix: 10.4.0.0/16, peer: near }
            - { prefix: "fd00:1::/64", peer: near, direct: cross-subnet }
            - { prefix: 10.5.0.0/16, action: local }
            """, Eth0).Segments[0];

        Assert.Equal(["10.1.0.0/16", "10.3.0.0/16"], segment.Direct.Select(direct => direct.Prefix.ToString()));
        Assert.All(segment.Direct, direct => Assert.Equal(("192.0.2.2", "eth0"), (direct.Gateway.ToString(), direct.Interface)));
        Assert.Equal(["10.2.0.0/16", "10.4.0.0/16", "fd00:1::/64"], segment.Prefixes.Select(prefix => prefix.ToString()));
        Assert.Equal(["10.5.0.0/16"], segment.Local.Select(prefix => prefix.ToString()));
    }

    [Fact]
    public void Resolve_BeatenRoute_IsNotToldTheKernel()
    {
        SegmentPlan segment = Resolve("""
            - { prefix: 10.1.0.0/16, peer: near, direct: cross-subnet, metric: 5 }
            - { prefix: 10.1.0.0/16, peer: far }
            """, Eth0).Segments[0];

        Assert.Equal((1, 0), (segment.Prefixes.Count, segment.Direct.Count));
    }

    [Fact]
    public void Resolve_Cover_StandsForTheRoutesWithin()
    {
        SegmentPlan segment = Resolve("""
            - { prefix: 10.1.0.0/16, peer: far }
            - { prefix: 10.2.0.0/16, peer: near, direct: cross-subnet }
            - { prefix: 10.3.0.0/16, action: local }
            - { prefix: 11.0.0.0/16, peer: far }
            - { prefix: "fd00:1::/64", peer: far }
            """, Eth0, "cover: [10.0.0.0/8, \"::/0\"]", reachable: "2001:db8:9::/64").Segments[0];

        Assert.Equal(["10.0.0.0/8", "::/0", "11.0.0.0/16"], segment.Prefixes.Select(prefix => prefix.ToString()));
        Assert.Equal("10.2.0.0/16", Assert.Single(segment.Direct).Prefix.ToString());
        Assert.Empty(segment.Local);
    }

    [Theory]
    [InlineData("- { prefix: 10.1.0.0/16, peer: far, direct: host-gw }", "", "route 10.1.0.0/16 is to go directly to peer 'far', whose address 198.51.100.2 is on no subnet of the underlay's interface; write 'direct: cross-subnet'")]
    [InlineData("- { prefix: \"fd00:1::/64\", peer: near, direct: host-gw }", "", "route fd00:1::/64 is to go directly to peer 'near', whose address 192.0.2.2 is of the other family; write 'direct: never'")]
    [InlineData("- { prefix: 10.1.0.0/16, peer: far }", "cover: [192.0.2.0/24]", "cover 192.0.2.0/24 holds the underlay address 192.0.2.2 of peer 'near'")]
    public void Resolve_WhatCannotBe_IsRefused(string routes, string segmentLine, string expected)
    {
        var problems = new ConfigurationProblems("overlay.yaml");

        Assert.Null(PlanResolver.Resolve(Options(routes, segmentLine), [Eth0], 1, problems));

        Assert.Contains(problems.Lines, line => line.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Follow_PeerNoLongerOnASubnet_TakesTheTunnelOrIsUnreachable()
    {
        OverlaydOptions options = Options("""
            - { prefix: 10.1.0.0/16, peer: near, direct: cross-subnet }
            - { prefix: 10.3.0.0/16, peer: near, direct: host-gw }
            """, "");
        var problems = new ConfigurationProblems("overlay.yaml");
        foreach (HostInterface host in new[] { Eth0 with { Addresses = [Address("192.0.2.1/32"), Address("2001:db8::1/64")] }, Eth0 with { IsUp = false } })
        {
            NodePlan plan = PlanResolver.Follow(options, [host], 2, problems)!;

            Assert.Empty(problems.Lines);
            Assert.Equal((2, 0, false), (plan.Segments[0].Prefixes.Count, plan.Segments[0].Direct.Count, plan.State.Peers[0].IsOnLink));
        }
    }

    private static NodePlan Resolve(string routes, HostInterface host, string segmentLine = "", string? reachable = null)
    {
        var problems = new ConfigurationProblems("overlay.yaml");
        HostInterface known = reachable is null ? host : host with { Routes = [IPNetwork.Parse(reachable)] };
        NodePlan? plan = PlanResolver.Resolve(Options(routes, segmentLine), [known], 1, problems);
        Assert.Empty(problems.Lines);
        return plan!;
    }

    private static OverlaydOptions Options(string routes, string segmentLine) => SampleConfiguration.Read(
        $"""
        node: n
        underlay: {"{ interface: eth0 }"}
        segments:
          - name: s
            vni: 1
            device: d
            {segmentLine}
        peers:
          - {"{ name: near, address: 192.0.2.2, mac: \"02:00:00:00:00:02\" }"}
          - {"{ name: far, address: 198.51.100.2, mac: \"02:00:00:00:00:03\" }"}
        routes:

        """ + string.Join('\n', routes.Split('\n').Select(line => "  " + line)) + "\n");

    private static InterfaceAddress Address(string text)
    {
        string[] parts = text.Split('/');
        return new InterfaceAddress(IPAddress.Parse(parts[0]), int.Parse(parts[1], System.Globalization.CultureInfo.InvariantCulture));
    }
}
