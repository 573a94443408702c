using System.Net;
using Overlay.Control.Compilation;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Control.Tests;

public sealed class SnapshotCompilerTests
{
    private static readonly SegmentState Pods = new("pods", 42, Mac("02:00:00:00:00:01"), 1450, TunnelFormat.Vxlan);
    private static readonly SegmentState Lab = new("lab", 43, Mac("02:00:00:00:00:11"), 1400, TunnelFormat.Vxlan);
    private static readonly PeerState NodeB = new("node-b", Endpoint("192.0.2.2", 4789), Mac("02:00:00:00:00:02"));
    private static readonly PeerState NodeC = new("node-c", Endpoint("2001:db8::3", 8472), Mac("02:00:00:00:00:03"));

    [Fact]
    public void Compile_SegmentsAndPeers_CarriesEverythingOver()
    {
        ForwardingSnapshot snapshot = SnapshotCompiler.Compile(State(7), queues: 2);

        Assert.Equal(7, snapshot.Revision);
        Segment lab = Assert.IsType<Segment>(snapshot.FindSegment(43));
        Assert.Equal((1, "lab", Lab.DeviceMac, 1400), (lab.Index, lab.Name, lab.DeviceMac, lab.Mtu));
        Peer peer = Assert.IsType<Peer>(snapshot.Peers.Find(NodeC.Endpoint.Address));
        Assert.Equal(("node-c", NodeC.Endpoint, NodeC.Mac, 2), (peer.Name, peer.Endpoint, peer.Mac, peer.Traffic.Queues));
    }

    [Theory]
    [InlineData("10.244.2.1", "node-b")]
    [InlineData("10.244.2.128", "node-c")]
    [InlineData("10.244.3.1", null)]
    [InlineData("fd00:2::5", "node-b")]
    [InlineData("fd00:3::5", null)]
    public void Compile_Routes_LeadToThePeerOfTheLongestPrefix(string destination, string? expected)
    {
        Segment pods = SnapshotCompiler.Compile(State(1), queues: 1).Segments[0];
        var address = IPAddress.Parse(destination);

        int value = destination.Contains(':', StringComparison.Ordinal)
            ? pods.Routes.LookupV6(IpBits.V6OrMapped(address))
            : pods.Routes.LookupV4(IpBits.V4(address));

        Assert.Equal(expected, value == RouteTable.NoRoute ? null : pods.Peers[value].Name);
    }

    [Fact]
    public void Compile_RoutesOfAnotherSegment_StayThere()
    {
        ForwardingSnapshot snapshot = SnapshotCompiler.Compile(State(1), queues: 1);

        Assert.Equal(RouteTable.NoRoute, snapshot.Segments[0].Routes.LookupV4(0x0a64_0001));
        Assert.Equal("node-c", snapshot.Segments[1].Peers[snapshot.Segments[1].Routes.LookupV4(0x0a64_0001)].Name);
    }

    [Fact]
    public void Compile_MacsOfAPeer_AreThoseOfItsDeviceInEachSegment()
    {
        NetworkState state = State(1);
        MacAddress inLab = Mac("02:00:00:00:01:03");
        state = state with { Peers = [NodeB, NodeC with { Macs = new Dictionary<string, MacAddress> { ["lab"] = inLab } }] };

        ForwardingSnapshot snapshot = SnapshotCompiler.Compile(state, queues: 1);

        Assert.Equal(NodeC.Mac, Assert.Single(snapshot.Segments[0].Peers, peer => peer.Name == "node-c").Mac);
        Peer there = Assert.Single(snapshot.Segments[1].Peers, peer => peer.Name == "node-c");
        Assert.Equal(inLab, there.Mac);
        Assert.Same(snapshot.Peers.Find(NodeC.Endpoint.Address)!.Traffic, there.Traffic);
        Assert.Equal(inLab, new MacAddress(snapshot.Segments[1].Templates[Array.IndexOf(snapshot.Segments[1].Peers, there)].AsSpan(VxlanHeader.Length)));
    }

    [Fact]
    public void Compile_AfterAnother_KeepsTheCountersOfPeersByName()
    {
        ForwardingSnapshot before = SnapshotCompiler.Compile(State(1), queues: 1);
        before.Peers.Find(NodeB.Endpoint.Address)!.Traffic.Egress(0).Add(3, 300, 0);
        PeerState moved = NodeB with { Endpoint = Endpoint("192.0.2.22", 4789) };

        ForwardingSnapshot after = SnapshotCompiler.Compile(State(2) with { Peers = [moved, NodeC] }, queues: 1, before);

        Assert.Null(after.Peers.Find(NodeB.Endpoint.Address));
        Assert.Equal(3, after.Peers.Find(moved.Endpoint.Address)!.Traffic.Egress(0).Packets);
    }

    [Fact]
    public void Compile_EveryAction_IsWhatALookupGives()
    {
        IReadOnlyList<WeightedPeer> both = [new("node-c", 3), new("node-b", 1)];
        NetworkState state = State(1) with
        {
            Routes =
            [
                Route("10.1.0.0/16", RouteTargetState.To(both)),
                Route("10.2.0.0/16", RouteTargetState.To(both.Reverse())),
                Route("10.3.0.0/16", RouteTargetState.Blackhole),
                Route("10.4.0.0/16", RouteTargetState.Local),
                Route("10.5.0.0/16", RouteTargetState.To("node-b", DirectMode.HostGateway)),
                Route("10.6.0.0/16", RouteTargetState.To("node-b", DirectMode.CrossSubnet)),
                Route("10.7.0.0/16", RouteTargetState.To("node-b")) with { Source = RouteSource.Block },
                Route("10.7.0.0/16", RouteTargetState.Prohibit) with { Source = RouteSource.Controller },
            ],
        };

        Segment far = SnapshotCompiler.Compile(state, queues: 1).Segments[0];
        Segment near = SnapshotCompiler.Compile(state with { Peers = [NodeB with { IsOnLink = true }, NodeC] }, queues: 1).Segments[0];

        PeerGroup group = Assert.Single(far.Groups);
        Assert.Equal([("node-b", 1), ("node-c", 3)], group.Members.Select(member => (member.Name, member.Weight)));
        Assert.All(group.Members, member => Assert.Equal(member.Name, far.Peers[member.Peer].Name));
        Assert.Equal(RouteAction.Group, Action(far, 1));
        Assert.Equal(far.Routes.LookupV4(0x0a01_0001), far.Routes.LookupV4(0x0a02_0001));
        Assert.Equal((RouteAction.Blackhole, RouteAction.Local), (Action(far, 3), Action(far, 4)));
        Assert.Equal((RouteAction.Unreachable, RouteAction.Peer), (Action(far, 5), Action(near, 5)));
        Assert.Equal((RouteAction.Peer, RouteAction.Peer), (Action(far, 6), Action(far, 7)));

        static RouteState Route(string prefix, RouteTargetState target) => new(IPNetwork.Parse(prefix), target, "pods");
        static RouteAction Action(Segment segment, uint second) => RouteTarget.Of(segment.Routes.LookupV4(0x0a00_0001 | second << 16)).Action;
    }

    [Fact]
    public void Compile_AnyChangeOfRoutes_EqualsCompilingAnew() => Seeded.Check(60, random =>
    {
        NetworkState state = State(1) with { Routes = [.. RandomRoutes(random, random.Next(200))] };
        ForwardingSnapshot changed = SnapshotCompiler.Compile(state, queues: 1);
        for (int revision = 2; revision < 8; revision++)
        {
            List<RouteState> routes = [.. state.Routes];
            for (int i = random.Next(20); i > 0 && routes.Count > 0; i--) routes.RemoveAt(random.Next(routes.Count));
            routes.AddRange(RandomRoutes(random, random.Next(20)));
            PeerState[] peers = [NodeB with { IsOnLink = random.Next(4) == 0 }, NodeC];
            state = state with { Revision = revision, Routes = RouteSet.Of(routes), Peers = peers };

            changed = SnapshotCompiler.Compile(state, queues: 1, changed);

            ForwardingSnapshot anew = SnapshotCompiler.Compile(state, queues: 1);
            for (int i = 0; i < 200; i++)
            {
                uint address = (uint)random.Next(16) << 28 | (uint)random.Next(4) << 20;
                uint flow = (uint)random.Next();
                Assert.Equal(Describe(anew.Segments[0], address, flow), Describe(changed.Segments[0], address, flow));
            }
        }
    });

    [Fact]
    public void Compile_SameRoutesAgain_KeepsTheTable()
    {
        NetworkState state = State(1) with { Routes = RouteSet.Of(State(1).Routes) };
        ForwardingSnapshot before = SnapshotCompiler.Compile(state, queues: 1);

        ForwardingSnapshot after = SnapshotCompiler.Compile(state with { Revision = 2 }, queues: 1, before);

        Assert.Same(before.Segments[0].Routes, after.Segments[0].Routes);
    }

    [Fact]
    public void Compile_OtherWeightsAgainAndAgain_KeepsNoGroupsThatNoRouteNames()
    {
        ForwardingSnapshot snapshot = SnapshotCompiler.Compile(State(1), queues: 1);
        for (int revision = 2; revision < 300; revision++)
        {
            RouteTargetState both = RouteTargetState.To([new("node-b", 1 + (revision % 100)), new("node-c", 101 + (revision / 100))]);
            RouteState[] routes = [new RouteState(IPNetwork.Parse("10.244.2.0/24"), both, "pods")];

            snapshot = SnapshotCompiler.Compile(State(revision) with { Routes = RouteSet.Of(routes) }, queues: 1, snapshot);

            Segment segment = snapshot.Segments[0];
            Assert.Equal(both.Peers.Select(peer => peer.Weight), segment.Groups[RouteTarget.Of(segment.Routes.LookupV4(0x0af4_0201)).Index].Members.Select(member => member.Weight));
            Assert.InRange(segment.Groups.Length, 1, 70);
        }
    }

    private static IEnumerable<RouteState> RandomRoutes(Random random, int count)
    {
        RouteTargetState[] targets =
        [
            RouteTargetState.To("node-b"), RouteTargetState.To("node-c"), RouteTargetState.Local, RouteTargetState.Prohibit,
            RouteTargetState.To([new("node-b"), new("node-c", 3)]), RouteTargetState.To("node-b", DirectMode.HostGateway),
        ];
        for (int i = 0; i < count; i++)
        {
            int length = random.Next(4, 13);
            uint address = (uint)random.Next(16) << 28 | (uint)random.Next(4) << 20;
            yield return new RouteState(IpBits.Mapped(address >> (32 - length) << (32 - length)), length, targets[random.Next(targets.Length)], "pods")
            {
                Metric = (uint)random.Next(3),
                Source = (RouteSource)random.Next(4),
            };
        }
    }

    private static string Describe(Segment segment, uint address, uint flow)
    {
        int value = segment.Routes.LookupV4(address);
        if (value == RouteTable.NoRoute) return "none";
        int peer = segment.PeerOf(value, flow);
        return peer < 0 ? RouteTarget.Of(value).Action.ToString() : segment.Peers[peer].Name;
    }

    [Fact]
    public void Compile_RouteToAnUnknownPeer_Throws()
    {
        NetworkState state = State(1) with { Peers = [NodeC] };

        Assert.Throws<KeyNotFoundException>(() => SnapshotCompiler.Compile(state, queues: 1));
    }

    [Theory]
    [InlineData("10.244.1.77", 24, "10.244.1.0/24")]
    [InlineData("10.244.1.77", 32, "10.244.1.77/32")]
    [InlineData("10.244.1.77", 0, "0.0.0.0/0")]
    [InlineData("fd00:1::77", 64, "fd00:1::/64")]
    [InlineData("fd00:1::77", 128, "fd00:1::77/128")]
    [InlineData("fd00:1::77", 0, "::/0")]
    public void Network_OfAnInterfaceAddress_HasNoHostBits(string address, int length, string expected)
    {
        Assert.Equal(IPNetwork.Parse(expected), new InterfaceAddress(IPAddress.Parse(address), length).Network);
    }

    private static NetworkState State(long revision) => new(revision, [Pods, Lab], [NodeB, NodeC],
    [
        new RouteState(IPNetwork.Parse("10.244.2.0/24"), "node-b", "pods"),
        new RouteState(IPNetwork.Parse("10.244.2.128/25"), "node-c", "pods"),
        new RouteState(IPNetwork.Parse("fd00:2::/64"), "node-b", "pods"),
        new RouteState(IPNetwork.Parse("10.100.0.0/16"), "node-c", "lab"),
    ]);

    private static UnderlayEndpoint Endpoint(string address, ushort port) => new(IpBits.V6OrMapped(IPAddress.Parse(address)), port);

    private static MacAddress Mac(string text) => MacAddress.TryParse(text, out MacAddress mac) ? mac : throw new FormatException(text);
}
