using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Control.Model;

namespace Overlay.Agent.Tests.Configuration;

/// <summary>What a bridged segment may be told.</summary>
public sealed class BridgingConfigurationTests
{
    private const string Text = """
        node: node-a
        underlay: { interface: eth0 }
        segments:
          - name: lan
            vni: 42
            device: overlay0
            kind: bridged
            bridge: br0
            learnNeighbours: true
            reservedGroups: forward
            flood: [node-b]
            fdb: [{ mac: "02:00:00:00:00:0a", peer: node-b }]
        peers:
          - { name: node-b, address: 192.0.2.2 }

        """;

    private static readonly HostInterface Eth0 = new("eth0", 1500, [new InterfaceAddress(IPAddress.Parse("192.0.2.1"), 24)]);

    [Fact]
    public void Parse_EveryKey_IsRead()
    {
        BridgingOptions bridging = SampleConfiguration.Read(Text).Segments[0].Bridging!;

        Assert.Equal((true, true, true), (bridging.Learning.Value, bridging.LearnsNeighbours.Value, bridging.ForwardsReserved.Value));
        BridgingOptions byDefault = SampleConfiguration.Read(Text.Replace("    learnNeighbours: true\n    reservedGroups: forward\n", "", StringComparison.Ordinal)).Segments[0].Bridging!;
        Assert.Equal((true, false, false), (byDefault.Learning.Value, byDefault.LearnsNeighbours.Value, byDefault.ForwardsReserved.Value));
    }

    [Theory]
    [InlineData("    bridge: br0", "    bridge: overlay0", 8, "bridge 'overlay0' of segment 'lan' is the segment's own device")]
    [InlineData("    bridge: br0", "    learning: false", 9, "'learnNeighbours' of segment 'lan' has no meaning without learning")]
    [InlineData("    bridge: br0", "    groupPolicy: mark", 8, "groupPolicy mark of segment 'lan' is for routed ones")]
    [InlineData("reservedGroups: forward", "reservedGroups: yes", 10, "'yes' is not known; write drop or forward")]
    [InlineData("flood: [node-b]", "flood: [node-c]", 11, "flood of segment 'lan' names the peer 'node-c', which is not listed; did you mean 'node-b'?")]
    [InlineData("kind: bridged", "kind: routed", 9, "'learnNeighbours' of segment 'lan' is for bridged segments")]
    [InlineData("peer: node-b }]", "peer: node-b, local: true }]", 12, "'peer' of fdb 02:00:00:00:00:0a contradicts 'local: true'")]
    public void Parse_BadValue_IsRefusedWithLineAndRemedy(string find, string replacement, int line, string expected)
    {
        string[] refusals = SampleConfiguration.Refusals(Text.Replace(find, replacement, StringComparison.Ordinal));

        Assert.Contains(refusals, refusal => refusal.StartsWith($"overlay.yaml:{line}: ", StringComparison.Ordinal) && refusal.Contains(expected, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(1500, true)]
    [InlineData(1450, false)]
    public void Resolve_PortOfTheBridgeWithALargerMtu_IsWarnedOf(int mtu, bool warned)
    {
        var problems = new ConfigurationProblems("overlay.yaml");
        HostInterface bridge = new("br0", 1450, []) { Kind = "bridge" };
        HostInterface port = new("vm0", mtu, []) { Master = "br0" };

        NodePlan? plan = PlanResolver.Resolve(SampleConfiguration.Read(Text), [Eth0, bridge, port], 1, problems);

        Assert.NotNull(plan);
        Assert.Equal(
            warned ? ["overlay.yaml:8: warning: bridge 'br0' has ports with a larger MTU than the 1450 of segment 'lan': vm0 (1500); the bridge drops what is larger, and tells nobody; "
                + "give them, and what is behind them, MTU 1450, or raise the underlay's"] : [],
            problems.Warnings);
    }
}
