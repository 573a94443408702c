using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Agent.Control;
using Overlay.Agent.Planning;
using Overlay.Control.Model;
using Overlay.Rpc.Control;

namespace Overlay.Agent.Tests.Control;

/// <summary>From what controllers tell to what one node forwards.</summary>
public sealed class ControlPlannerTests
{
    private const string Configuration = """
        node: node-a
        underlay: { interface: eth0 }
        control:
          controllers: [ctl.example]
          certificate: /etc/overlay/node.pem
          key: /etc/overlay/node.key
          authority: /etc/overlay/ca.pem
        """;

    [Fact]
    public void Plan_BlocksOfNodes_AreRoutedToTheirHoldersAndOwnOnesGiveTheDeviceItsAddresses()
    {
        NodePlan plan = Plan(out IReadOnlyList<string> problems, Node("node-a", "192.0.2.1"), Node("node-b", "192.0.2.2"), Block("10.244.1.0/26", "node-a"), Block("10.244.2.64/26", "node-b"));

        Assert.Empty(problems);
        SegmentPlan segment = Assert.Single(plan.Segments);
        Assert.Equal(("ovl42", 1450, "10.244.1.0/32"), (segment.Device, segment.Mtu, segment.Addresses.Single().ToString()));
        Assert.Equal([IPNetwork.Parse("10.244.2.64/26")], segment.Prefixes);
        PeerState peer = Assert.Single(plan.State.Peers);
        Assert.Equal(("node-b", "192.0.2.2:4789"), (peer.Name, peer.Endpoint.ToString()));
        RouteState route = Assert.Single(plan.State.Routes);
        Assert.Equal((IPNetwork.Parse("10.244.2.64/26"), "pods", RouteSource.Block), (route.Prefix, route.Segment, route.Source));
    }

    [Fact]
    public void Plan_TwoNodesAtOneAddress_SendsToTheOneThatRegisteredLast()
    {
        NodePlan plan = Plan(
            out IReadOnlyList<string> problems, Node("old", "192.0.2.2", registered: 1), Node("new", "192.0.2.2", registered: 2), Block("10.244.2.0/26", "old"), Block("10.244.3.0/26", "new"));

        Assert.Equal("new", Assert.Single(plan.State.Peers).Name);
        Assert.Equal(IPNetwork.Parse("10.244.3.0/26"), Assert.Single(plan.State.Routes).Prefix);
        Assert.Equal("node 'old' is said to be at 192.0.2.2, where 'new' registered later: it is not reached", Assert.Single(problems));
    }

    [Fact]
    public void Plan_BlockThatHoldsAnUnderlayAddress_IsLeftOutAndTold()
    {
        NodePlan plan = Plan(out IReadOnlyList<string> problems, Node("node-b", "192.0.2.2"), Block("192.0.2.0/26", "node-b"));

        Assert.Empty(plan.State.Routes);
        Assert.Contains("192.0.2.0/26 of network 'pods' holds addresses of the underlay", Assert.Single(problems), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("controllers: [ctl.example]", "controllers: []", "o.yaml:4: control has no 'controllers'")]
    [InlineData("controllers: [ctl.example]", "controllers: [\"ctl:x\"]", "o.yaml:4: 'controllers' of control: 'ctl:x' is no host with a port")]
    [InlineData("node: node-a", "node: node-a\npeers: []\nroutes: []\nsegments: [{ name: x }]", "o.yaml:4: 'segments' of the file contradicts 'control:'")]
    [InlineData("  key: /etc/overlay/node.key", "  key: node.key", "o.yaml:6: 'key' of control: 'node.key' is no absolute path")]
    [InlineData("node: node-a", "node: node-a\ntunnel: { encapsulation: ipip }", "o.yaml:2: ipip carries no VNI")]
    [InlineData("  controllers:", "  lowWater: 50\n  highWater: 49\n  controllers:", "o.yaml:5: 'highWater' of control is 49, below 'lowWater', 50")]
    [InlineData("  controllers:", "  lowWater: 0\n  controllers:", "o.yaml:4: 'lowWater' of control: '0'")]
    [InlineData("node: node-a", "node: node-a\npods: { ranges: [10.244.1.0/24], segment: pods }", "o.yaml:2: 'ranges' of pods (10.244.1.0/24) contradicts 'control:'")]
    [InlineData("node: node-a", "node: node-a\npods: { reserved: [10.244.1.9], segment: pods }", "o.yaml:2: 'reserved' of pods (10.244.1.9) contradicts 'control:'")]
    [InlineData("node: node-a", "node: node-a\npods: { mode: bridge, segment: pods }", "o.yaml:2: pods on a bridge need 'ranges'")]
    [InlineData("node: node-a", "node: node-a\npods: { drain: true }", "o.yaml:2: pods has no 'segment'")]
    [InlineData("  controllers:", "  networks: [lab]\n  controllers:", "o.yaml:9: pods are in 'pods', which is none of 'control: networks'", "\npods: { segment: pods }")]
    public void Parse_BadControl_NamesFileLineValueAndRemedy(string text, string replacement, string expected, string more = "")
    {
        var problems = new ConfigurationProblems("o.yaml");

        Assert.Null(ConfigurationReader.Parse(Configuration.Replace(text, replacement, StringComparison.Ordinal) + more, problems));

        Assert.True(problems.Lines.Any(line => line.StartsWith(expected, StringComparison.Ordinal)), string.Join('\n', problems.Lines));
    }

    [Fact]
    public void Parse_PodsWithOneNetwork_AreInIt()
    {
        OverlaydOptions options = ConfigurationReader.Parse(Configuration + "\n  networks: [lab]\n  lowWater: 200\npods: {}\n", new ConfigurationProblems("o.yaml"))!;

        Assert.Equal(("lab", 200, 200), (options.Pods!.Segment.Value, options.Control!.LowWater.Value, options.Control.HighWater.Value));
    }

    private static NodePlan Plan(out IReadOnlyList<string> problems, params Change[] changes)
    {
        var refusals = new ConfigurationProblems("o.yaml");
        var eth0 = new HostInterface("eth0", 1500, [new InterfaceAddress(IPAddress.Parse("192.0.2.1"), 24)]);
        NodePlan basis = PlanResolver.Resolve(ConfigurationReader.Parse(Configuration, refusals)!, [eth0], 0, refusals)!;
        var network = new Change { Key = "state/networks/pods", Network = new Network { Name = "pods", Vni = 42, Encapsulation = "vxlan", Pools = { new Pool { Prefix = "10.244.0.0/16", BlockLength = 26 } } } };
        return new ControlPlanner(basis, new ControlView(7, changes.Append(network).ToDictionary(change => change.Key))).Plan(out problems);
    }

    private static Change Node(string name, string underlay, long registered = 0) => new()
    {
        Key = $"state/nodes/{name}",
        Node = new Rpc.Control.Node { Name = name, Underlay = { underlay }, Mac = DeviceMac.OfNode(name).ToString(), Registered = registered },
    };

    private static Change Block(string prefix, string holder) => new()
    {
        Key = $"state/blocks/pods/{prefix.Replace('/', '-')}",
        Block = new Block { Network = "pods", Prefix = prefix, Holder = holder },
    };
}
