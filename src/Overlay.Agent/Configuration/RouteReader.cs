using System.Net;
using Overlay.Control.Model;
using Overlay.Dataplane.Forwarding;

namespace Overlay.Agent.Configuration;

/// <summary>Reads what a configuration says of routes.</summary>
internal static class RouteReader
{
    private const string ExampleOfPeers = "[{ peer: node-b }, { peer: node-c, weight: 2 }]";

    public static readonly ValueParser<DirectMode> DirectModes = ConfigurationValues.OneOf(
        ("never", DirectMode.Never), ("cross-subnet", DirectMode.CrossSubnet), ("host-gw", DirectMode.HostGateway));

    public static readonly ValueParser<RouteTargetState> Actions = ConfigurationValues.OneOf(
        ("local", RouteTargetState.Local), ("blackhole", RouteTargetState.Blackhole), ("unreachable", RouteTargetState.Unreachable),
        ("prohibit", RouteTargetState.Prohibit));

    /// <returns>Null, with the reason among the problems, where anything is wrong.</returns>
    public static RouteOptions? Read(YamlSection section, IReadOnlyList<SegmentOptions> segments, ConfigurationProblems problems)
    {
        Located<IPNetwork>? prefix = section.Required<IPNetwork>("prefix", "10.244.2.0/24", ConfigurationValues.Prefix);
        if (prefix is { } known) section.Name = $"route {known}";
        Located<string>? segment = section.Optional<string>("segment", ConfigurationValues.Name);
        Located<int>? priority = section.Optional("priority", ConfigurationValues.Integer(1, byte.MaxValue));
        Located<int> metric = section.OrDefault("metric", 0, ConfigurationValues.Integer(0, int.MaxValue));
        Located<DirectMode>? direct = section.Optional("direct", DirectModes);
        if (segment is null && segments.Count == 1) segment = new Located<string>(segments[0].Name, section.Line);
        if (segment is null && segments.Count > 1)
            problems.Add(section.Line, $"{section.Name} names no segment", "write 'segment:' with the name of one, since there are several");

        DirectMode mode = direct?.Value ?? segments.FirstOrDefault(each => each.Name.Value == segment?.Value)?.Direct.Value ?? DirectMode.Never;
        var peers = new List<Located<string>>();
        RouteTargetState? target = ReadTarget(section, mode, peers, problems);
        section.RefuseUnknownKeys();
        if (target is not null && target.Action != RouteAction.Peer && direct is { Value: not DirectMode.Never } one)
            problems.Add(one.Line, $"direct of {section.Name} is for routes to one peer", "leave it out, or name one 'peer'");
        return prefix is { } p && target is not null && segment is { } s ? new RouteOptions(p, target, peers, s, priority, metric) : null;
    }

    private static RouteTargetState? ReadTarget(YamlSection section, DirectMode direct, List<Located<string>> peers, ConfigurationProblems problems)
    {
        if (section.Has("action"))
        {
            section.Refuse(["peer", "peers"], "contradicts 'action'", "keep one of them");
            return section.Optional("action", Actions)?.Value;
        }
        if (section.Has("peers"))
        {
            section.Refuse(["peer"], "contradicts 'peers'", "keep one of them");
            return ReadPeers(section, peers, problems);
        }
        // Whoever wrote neither most likely forgot the peer.
        if (section.Required<string>("peer", "node-b", ConfigurationValues.Name) is not { } peer) return null;
        peers.Add(peer);
        return RouteTargetState.To(peer, direct);
    }

    private static RouteTargetState? ReadPeers(YamlSection section, List<Located<string>> peers, ConfigurationProblems problems)
    {
        var members = new List<WeightedPeer>();
        int listed = 0;
        foreach (YamlSection member in section.Sections("peers", $"a peer of {section.Name}"))
        {
            listed++;
            Located<string>? peer = member.Required<string>("peer", "node-b", ConfigurationValues.Name);
            Located<int> weight = member.OrDefault("weight", 1, ConfigurationValues.Integer(1, WeightedPeer.MostWeight));
            member.RefuseUnknownKeys();
            if (peer is not { } name) continue;
            if (peers.Exists(other => other.Value == name.Value))
                problems.Add(name.Line, $"peer '{name}' is in the peers of {section.Name} twice", "keep one of them, and write its share as 'weight'");
            peers.Add(name);
            members.Add(new WeightedPeer(name, weight));
        }
        if (listed == 0) problems.Add(section.Line, $"{section.Name} has no peers", $"write 'peers: {ExampleOfPeers}'");
        if (listed > PeerGroup.MostMembers) problems.Add(section.Line, $"{section.Name} has {listed} peers", $"keep them to {PeerGroup.MostMembers}");
        return members.Count > 0 && members.Count == listed ? RouteTargetState.To(members) : null;
    }
}
