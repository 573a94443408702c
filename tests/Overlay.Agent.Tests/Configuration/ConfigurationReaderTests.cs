using System.Text;
using Overlay.Agent.Configuration;
using Overlay.Control.Model;
using Overlay.Testing;

namespace Overlay.Agent.Tests.Configuration;

public sealed class ConfigurationReaderTests
{
    [Fact]
    public void Parse_EverySection_ReadsEveryValue()
    {
        OverlaydOptions options = SampleConfiguration.Read();

        Assert.Equal("node-a", options.Node.Value);
        Assert.Equal("eth0", options.Underlay.Interface!.Value.Value);
        Assert.Equal(["192.0.2.1", "2001:db8::1"], options.Underlay.Addresses.Select(address => address.ToString()!));
        Assert.Equal(EgressMode.Auto, options.Tunnel.Egress.Value);
        Assert.Equal((42, 17), (options.Segments[0].Vni.Value, options.Segments[0].Vni.Line));
        Assert.Equal("02:00:00:00:00:01", options.Segments[0].Mac!.Value.ToString());
        Assert.Equal(["10.244.1.0/32", "fd00:244:1::/128"], options.Segments[0].Addresses.Select(address => address.ToString()!));
        Assert.Null(options.Segments[1].Mtu);
        Assert.Equal((4790, 4789), (options.Peers[0].Port.Value, options.Peers[1].Port.Value));
        Assert.Equal(("10.244.2.0/24", "node-b", "pods"),
            (options.Routes[0].Prefix.Value.ToString(), options.Routes[0].Target.Text, options.Routes[0].Segment.Value));
    }

    [Fact]
    public void Parse_OnlyWhatIsNeeded_FillsInDefaults()
    {
        OverlaydOptions options = SampleConfiguration.Read(
            "{ node: n, underlay: { interface: eth0 }, segments: [ { name: s, vni: 1, device: d } ] }");

        Assert.Equal("/run/overlay/overlayd.sock", options.ApiSocket.Value);
        Assert.Equal((4789, 64, 0, 1),
            (options.Underlay.Port.Value, options.Underlay.Ttl.Value, options.Underlay.TrafficClass.Value, options.Underlay.Queues.Value));
        Assert.Empty(options.Peers);
    }

    [Fact]
    public void Parse_RouteWithoutSegmentWhereThereIsOne_TakesThatOne()
    {
        OverlaydOptions options = SampleConfiguration.Read("""
            node: n
            underlay: { interface: eth0 }
            segments: [ { name: s, vni: 1, device: d } ]
            peers: [ { name: p, address: 192.0.2.2, mac: "02:00:00:00:00:02" } ]
            routes: [ { prefix: 10.0.0.0/8, peer: p } ]
            """);

        Assert.Equal("s", options.Routes[0].Segment.Value);
    }

    [Fact]
    public void Parse_EverythingARouteCanSay_IsRead()
    {
        OverlaydOptions options = SampleConfiguration.Read("""
            node: n
            underlay: { interface: eth0 }
            segments: [ { name: s, vni: 1, device: d, direct: cross-subnet } ]
            peers:
              - { name: p, address: 192.0.2.2, mac: "02:00:00:00:00:02" }
              - { name: q, address: 192.0.2.3, mac: "02:00:00:00:00:03" }
            routes:
              - { prefix: 10.0.0.0/8, peers: [{ peer: q, weight: 3 }, { peer: p }] }
              - { prefix: 10.0.0.0/8, peer: p, priority: 200, metric: 5 }
              - { prefix: 10.1.0.0/16, peer: p, direct: host-gw }
              - { prefix: 10.2.0.0/16, action: local }
              - { prefix: 10.3.0.0/16, action: prohibit }

            """);

        RouteState[] routes = [.. options.Routes.Select(route => route.ToState())];
        Assert.Equal(["p, q x3", "p", "p", "local", "prohibit"], routes.Select(route => route.Target.Text));
        Assert.Equal(
            [DirectMode.Never, DirectMode.CrossSubnet, DirectMode.HostGateway, DirectMode.Never, DirectMode.Never],
            routes.Select(route => route.Target.Direct));
        Assert.Equal((10, 0u, 8), (routes[0].Priority, routes[0].Metric, routes[0].Line));
        Assert.Equal((200, 5u, 9), (routes[1].Priority, routes[1].Metric, routes[1].Line));
    }

    [Theory]
    [InlineData("node: node-a", "nodes: node-a", 1, "the file knows no key 'nodes'; did you mean 'node'?")]
    [InlineData("  socket:", "  sokcet:", 3, "api knows no key 'sokcet'; did you mean 'socket'?")]
    [InlineData("  trafficClass:", "  dscp:", 9, "underlay knows no key 'dscp'")]
    [InlineData("    persistent:", "    persistant:", 21, "segment 'pods' knows no key 'persistant'; did you mean 'persistent'?")]
    [InlineData("    device: overlay0", "    device: overlay0\n    device: overlay2", 19, "the key 'device' was given in line 18 already")]
    [InlineData("    vni: 42", "    vni: 042", 17, "'042' is no whole number")]
    [InlineData("    device: overlay0", "    device: all", 18, "'all' is no device name")]
    [InlineData("node: node-a", "node: [node-a]", 1, "'node' of the file is a list")]
    [InlineData("node: node-a", "node: 'node a'", 1, "'node a' is no name")]
    [InlineData("node: node-a", "node:", 1, "the file has no 'node'; write 'node: node-a'")]
    [InlineData("socket: /run/overlay/overlayd.sock", "socket: run/overlayd.sock", 3, "'run/overlayd.sock' is no absolute path")]
    [InlineData("eth0", "a-name-of-16-byt", 5, "the device name 'a-name-of-16-byt' has 16 bytes; use at most 15")]
    [InlineData("[192.0.2.1, ", "[192.0.2, ", 6, "'192.0.2' is no IP address")]
    [InlineData("[192.0.2.1, ", "[192.0.2.1, 192.0.2.9, ", 6, "underlay address 192.0.2.9 is of the same family as 192.0.2.1")]
    [InlineData("[192.0.2.1, ", "[224.0.0.1, ", 6, "'224.0.0.1' is no unicast address")]
    [InlineData("  port: 4789", "  port: 65536", 7, "'65536' is no whole number from 1 to 65535")]
    [InlineData("ttl: 64", "ttl: 0", 8, "'0' is no whole number from 1 to 255")]
    [InlineData("trafficClass: 0", "trafficClass: 187", 9, "'187' sets ECN bits, which are copied from the inner packet; write 184")]
    [InlineData("queues: 1", "queues: two", 10, "'two' is no whole number from 1 to 64")]
    [InlineData("vxlan", "gre", 12, "'gre' is not known; write vxlan or geneve")]
    [InlineData("egress: auto", "egress: gso", 13, "'gso' is not known; write auto or udp-gso or tunnel-gso")]
    [InlineData("name: lab", "name: pods", 23, "segment 'pods' was listed in line 16 already")]
    [InlineData("vni: 42", "vni: 16777216", 17, "'16777216' is no whole number from 0 to 16777215")]
    [InlineData("vni: 43", "vni: 42", 24, "vni 42 of segment 'lab' is that of segment 'pods'")]
    [InlineData("device: overlay1", "device: overlay0", 25, "device 'overlay0' of segment 'lab' is that of segment 'pods'")]
    [InlineData("device: overlay1", "device: eth0", 25, "device 'eth0' is the underlay's interface")]
    [InlineData("device: overlay1", "device: a/b", 25, "'a/b' is no device name")]
    [InlineData("mac: 02:00:00:00:00:01", "mac: 02:00:00:00:00", 19, "'02:00:00:00:00' is no MAC address")]
    [InlineData("mac: 02:00:00:00:00:01", "mac: 01:00:5e:00:00:01", 19, "'01:00:5e:00:00:01' is a group address")]
    [InlineData("mac: 02:00:00:00:00:01", "mac: 00:00:00:00:00:00", 19, "'00:00:00:00:00:00' is the zero address")]
    [InlineData("mtu: 1430", "mtu: 67", 20, "'67' is no whole number from 68 to 65521")]
    [InlineData("mtu: 1430", "mtu: 1279", 20, "mtu 1279 of segment 'pods' is too small for the IPv6 inside it; write at least 1280")]
    [InlineData("[10.244.1.0/32, ", "[10.244.1.0, ", 22, "'10.244.1.0' has no prefix length; write 10.244.1.0/32")]
    [InlineData("[10.244.1.0/32, ", "[10.244.1.0/32, 10.244.1.0/24, ", 22, "address 10.244.1.0/24 was given in line 22 already")]
    [InlineData("name: node-b", "name: node-a", 27, "peer 'node-a' is this node itself")]
    [InlineData("name: node-c", "name: node-b", 31, "peer 'node-b' was listed in line 27 already")]
    [InlineData("address: 192.0.2.2", "address: 192.0.2.1", 28, "address 192.0.2.1 of peer 'node-b' is this node's own")]
    [InlineData("address: \"2001:db8::3\"", "address: 192.0.2.2", 32, "address 192.0.2.2 of peer 'node-c' is that of peer 'node-b'")]
    [InlineData("[192.0.2.1, \"2001:db8::1\"]", "[192.0.2.1]", 32, "address 2001:db8::3 of peer 'node-c' is of a family in which the underlay has no address")]
    [InlineData("    port: 4790", "    port: 0", 29, "'0' is no whole number from 1 to 65535")]
    [InlineData("mac: 02:00:00:00:00:03", "mac: 02:00:00:00:00:02", 33, "mac 02:00:00:00:00:02 of peer 'node-c' is that of peer 'node-b'")]
    [InlineData("mac: 02:00:00:00:00:02", "mac: 02:00:00:00:00:01", 30, "mac 02:00:00:00:00:01 of peer 'node-b' is that of segment 'pods'")]
    [InlineData("mac: 02:00:00:00:00:02", "macs: { pod: 02:00:00:00:00:02 }", 30, "macs of peer 'node-b' knows no key 'pod'; did you mean 'pods'?")]
    [InlineData("mac: 02:00:00:00:00:02", "macs: { pods: 02:00:00:00:00 }", 30, "'pods' of macs of peer 'node-b': '02:00:00:00:00' is no MAC address")]
    [InlineData("mac: 02:00:00:00:00:02", "macs: { pods: 02:00:00:00:00:03 }", 33, "mac 02:00:00:00:00:03 of peer 'node-c' is that of peer 'node-b'")]
    [InlineData("mac: 02:00:00:00:00:02", "macs: { pods: 02:00:00:00:00:01 }", 30, "mac 02:00:00:00:00:01 of peer 'node-b' is that of segment 'pods'")]
    [InlineData("    vni: 43\n", "    vni: 43\n    kind: bridged\n", 39, "route fd00:244:3::/64 is for segment 'lab', which is bridged")]
    [InlineData("prefix: 10.244.2.0/24", "prefix: 10.244.2.5/24", 35, "the prefix '10.244.2.5/24' has host bits set; write 10.244.2.0/24")]
    [InlineData("prefix: 10.244.2.0/24", "prefix: 10.244.2.0/33", 35, "'10.244.2.0/33' has no prefix length from 0 to 32")]
    [InlineData("prefix: 10.244.2.0/24", "prefix: 010.244.2.0/24", 35, "'010.244.2.0/24' is no prefix")]
    [InlineData("prefix: 10.244.2.0/24", "prefix: ::ffff:10.244.2.0/120", 35, "'::ffff:10.244.2.0/120' is no prefix")]
    [InlineData("prefix: 10.244.2.0/24", "prefix: 239.0.0.0/8", 35, "the prefix '239.0.0.0/8' is multicast")]
    [InlineData("prefix: 10.244.2.0/24", "prefix: 10.244.1.0/32", 35, "route 10.244.1.0/32 is the network of this node's own address 10.244.1.0/32 (line 22)")]
    [InlineData("prefix: fd00:244:3::/64", "prefix: 10.244.2.0/24", 38, "route 10.244.2.0/24 was listed in line 35 already, to peer 'node-b'")]
    [InlineData("prefix: fd00:244:3::/64\n    peer: node-c\n    segment: lab", "prefix: 10.244.2.0/24\n    peer: node-c\n    segment: pods", 38, "route 10.244.2.0/24 was listed in line 35 already, to peer 'node-b'; keep one of them, or give them different priorities or metrics")]
    [InlineData("    peer: node-b", "    peer: node-b\n    action: local", 36, "'peer' of route 10.244.2.0/24 contradicts 'action'; keep one of them")]
    [InlineData("    peer: node-b", "    action: drop", 36, "'action' of route 10.244.2.0/24: 'drop' is not known; write local or blackhole or unreachable or prohibit")]
    [InlineData("    peer: node-b", "    peers: []", 35, "route 10.244.2.0/24 has no peers; write 'peers: [{ peer: node-b }")]
    [InlineData("    peer: node-b", "    peers: [{ peer: node-b, weight: 0 }]", 36, "'weight' of a peer of route 10.244.2.0/24: '0' is no whole number from 1 to 256")]
    [InlineData("    peer: node-b", "    peers: [{ peer: node-b }, { peer: node-b }]", 36, "peer 'node-b' is in the peers of route 10.244.2.0/24 twice; keep one of them, and write its share as 'weight'")]
    [InlineData("    peer: node-b", "    peers: [{ peer: node-b }, { peer: node-d }]", 36, "names the peer 'node-d', which is not listed; did you mean 'node-b'?")]
    [InlineData("    peer: node-b", "    peers: [{ peer: node-b }, { peer: node-c }]\n    direct: host-gw", 37, "direct of route 10.244.2.0/24 is for routes to one peer")]
    [InlineData("    peer: node-b", "    peer: node-b\n    direct: always", 37, "'always' is not known; write never or cross-subnet or host-gw")]
    [InlineData("    peer: node-b", "    peer: node-b\n    priority: 256", 37, "'256' is no whole number from 1 to 255")]
    [InlineData("    peer: node-b", "    peer: node-d", 36, "names the peer 'node-d', which is not listed; did you mean 'node-b'?")]
    [InlineData("segment: pods", "segment: pod", 37, "names the segment 'pod', which is not listed; did you mean 'pods'?")]
    [InlineData("    segment: pods\n", "", 35, "names no segment")]
    public void Parse_BadValue_IsRefusedWithLineAndRemedy(string find, string replacement, int line, string expected)
    {
        string[] refusals = SampleConfiguration.Refusals(SampleConfiguration.With(find, replacement));

        Assert.Contains(refusals, refusal =>
            refusal.StartsWith($"overlay.yaml:{line}: ", StringComparison.Ordinal)
            && refusal.Contains(expected, StringComparison.Ordinal)
            && refusal.Split("; ").Length >= 2);
    }

    [Fact]
    public void Parse_MacsOfAPeer_HoldInTheirSegmentsAndOthersAreDerived()
    {
        OverlaydOptions options = SampleConfiguration.Read(SampleConfiguration.With("mac: 02:00:00:00:00:02", "macs: { lab: 02:00:00:00:01:02 }"));

        Assert.Equal("02:00:00:00:01:02", options.Peers[0].MacIn("lab").Value.ToString());
        Assert.Equal(DeviceMac.Derive("node-b", "pods"), options.Peers[0].MacIn("pods").Value);
        Assert.Equal("02:00:00:00:00:03", options.Peers[1].MacIn("lab").Value.ToString());
    }

    [Fact]
    public void Parse_MacsForABridgedSegment_AreRefused()
    {
        string text = SampleConfiguration.With("mac: 02:00:00:00:00:02", "macs: { lab: 02:00:00:00:01:02 }")
            .Replace("    vni: 43\n", "    vni: 43\n    kind: bridged\n", StringComparison.Ordinal);

        Assert.Contains(SampleConfiguration.Refusals(text), refusal => refusal.Contains(
            "'lab' of macs of peer 'node-b' has no use: the segment sends nothing to the MAC of a peer; leave it out", StringComparison.Ordinal));
    }

    [Fact]
    public void Parse_LongSocketPath_NamesTheLimit()
    {
        string path = "/run/" + new string('s', 103);

        string refusal = Assert.Single(SampleConfiguration.Refusals(SampleConfiguration.With("/run/overlay/overlayd.sock", path)));

        Assert.Contains("has 108 bytes; use at most 107", refusal, StringComparison.Ordinal);
        SampleConfiguration.Read(SampleConfiguration.With("/run/overlay/overlayd.sock", path[..^1]));
    }

    [Fact]
    public void Parse_SeveralBadValues_RefusesAllInTheOrderOfTheFile()
    {
        string text = SampleConfiguration.With("vni: 42", "vni: none").Replace("ttl: 64", "ttl: 256", StringComparison.Ordinal);

        string[] refusals = SampleConfiguration.Refusals(text);

        Assert.Equal(["overlay.yaml:8:", "overlay.yaml:17:"], refusals.Take(2).Select(refusal => refusal[..refusal.IndexOf(' ', 14)]));
    }

    [Theory]
    [InlineData("", "overlay.yaml: the file is empty")]
    [InlineData("- a\n", "overlay.yaml:1: the document is a list")]
    [InlineData("node: a\nunderlay: }\n", "overlay.yaml:2: not YAML")]
    [InlineData("node: a\nunderlay:\n  addresses: [192.0.2.1\nsegments: []\n", "overlay.yaml:3: not YAML: what begins in this line does not end")]
    [InlineData("node: a\nunderlay:\n\tinterface: eth0\n", "overlay.yaml:3: not YAML")]
    [InlineData("node: &n a\n", "overlay.yaml:1: the anchor '&n' is not allowed here")]
    [InlineData("node: !!str a\n", "overlay.yaml:1: the tag 'tag:yaml.org,2002:str' is not allowed here")]
    [InlineData("node: *n\n", "overlay.yaml:1: not YAML")]
    [InlineData("node: a\n---\nnode: b\n", "overlay.yaml:2: a second document begins")]
    [InlineData("? [a]\n: b\n", "overlay.yaml:1: a list stands where a key should")]
    [InlineData("node: a\nunderlay: { interface: eth0 }\n", "overlay.yaml:1: the file has no segment")]
    [InlineData("node: a\nsegments: [ { name: s, vni: 1, device: d } ]\n", "overlay.yaml:1: underlay has neither 'interface' nor 'addresses'")]
    [InlineData("peers: 1\n", "overlay.yaml:1: 'peers' is the value '1'")]
    [InlineData("peers: [1]\n", "overlay.yaml:1: a peer is the value '1'")]
    public void Parse_BadDocument_SaysWhat(string text, string expected)
    {
        Assert.Contains(SampleConfiguration.Refusals(text), refusal => refusal.StartsWith(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Parse_DeepNesting_IsRefused()
    {
        string text = "node: " + new string('[', 1000) + new string(']', 1000);

        Assert.Contains("nested deeper than 16 levels", Assert.Single(SampleConfiguration.Refusals(text)), StringComparison.Ordinal);
    }

    [Fact]
    public void Parse_DamagedText_NeverThrows() => Seeded.Check(1000, random =>
    {
        const string inserted = "[]{}&*!|>'\"%@`#,?:- \t\n\0\ufeffab1";
        var text = new StringBuilder(SampleConfiguration.Text);
        for (int damage = random.Next(1, 6); damage > 0 && text.Length > 0; damage--)
        {
            int at = random.Next(text.Length);
            switch (random.Next(3))
            {
                case 0:
                    text.Remove(at, Math.Min(random.Next(1, 20), text.Length - at));
                    break;
                case 1:
                    text.Insert(at, inserted[random.Next(inserted.Length)]);
                    break;
                default:
                    text[at] = inserted[random.Next(inserted.Length)];
                    break;
            }
        }
        var problems = new ConfigurationProblems("overlay.yaml");

        OverlaydOptions? options = ConfigurationReader.Parse(text.ToString(), problems);

        Assert.Equal(options is null, problems.Any);
    });

    [Fact]
    public void Parse_RefusedPeer_IsNotCalledUnlistedInItsRoutes()
    {
        string refusal = Assert.Single(SampleConfiguration.Refusals(SampleConfiguration.With("address: 192.0.2.2", "address: 192.0.2")));

        Assert.StartsWith("overlay.yaml:28: ", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_Directory_SaysSo()
    {
        var problems = new ConfigurationProblems("/");

        Assert.Null(ConfigurationReader.Load("/", problems));

        Assert.StartsWith("/: is a directory; ", Assert.Single(problems.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void Load_MissingFile_NamesIt()
    {
        var problems = new ConfigurationProblems("/nonexistent/overlay.yaml");

        Assert.Null(ConfigurationReader.Load("/nonexistent/overlay.yaml", problems));

        Assert.StartsWith("/nonexistent/overlay.yaml: cannot be read: ", Assert.Single(problems.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void Derive_TwoNodesOrSegments_DifferAndStay()
    {
        Assert.Equal(DeviceMac.Derive("node-a", "pods"), DeviceMac.Derive("node-a", "pods"));
        Assert.NotEqual(DeviceMac.Derive("node-a", "pods"), DeviceMac.Derive("node-b", "pods"));
        Assert.NotEqual(DeviceMac.Derive("node-a", "pods"), DeviceMac.Derive("node-a", "lab"));
        Assert.False(DeviceMac.Derive("node-a", "pods").IsGroup);
    }
}
