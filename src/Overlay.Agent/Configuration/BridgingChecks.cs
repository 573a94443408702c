using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>Refuses what a bridged segment cannot be, or refers to in vain.</summary>
internal sealed class BridgingChecks(OverlaydOptions options, ConfigurationProblems problems)
{
    private readonly HashSet<string> _peers = [.. options.Peers.Select(peer => peer.Name.Value)];

    /// <param name="peersAreKnown">False where a peer was refused that may be meant.</param>
    public void Run(bool peersAreKnown)
    {
        foreach (SegmentOptions segment in options.Segments)
        {
            if (segment.Bridging is { } bridging) Check(segment, bridging, peersAreKnown);
        }
        foreach (RouteOptions route in options.Routes)
        {
            if (options.Segments.Any(segment => segment.Bridging is not null && segment.Name.Value == route.Segment.Value))
                problems.Add(
                    route.Prefix.Line, $"route {route.Prefix} is for segment '{route.Segment}', which is bridged and has no routes",
                    "leave it out, or write 'kind: routed'");
        }
    }

    private void Check(SegmentOptions segment, BridgingOptions bridging, bool peersAreKnown)
    {
        string name = segment.Name;
        if (segment.Tunnel.BareIp)
            problems.Add(
                segment.Tunnel.BareIp.Line, $"payload ip of segment '{name}' has no Ethernet header, and a bridged segment needs it",
                "write 'payload: ethernet'");
        if (bridging.Bridge is { } bridge)
        {
            if (bridge.Value == segment.Device.Value)
                problems.Add(bridge.Line, $"bridge '{bridge}' of segment '{name}' is the segment's own device", "name a bridge of the host");
            if (segment.Addresses is [var address, ..])
                problems.Add(address.Line, $"address {address} of segment '{name}' is for a port of a bridge, where it is not used", $"assign it to '{bridge}'");
        }
        if (peersAreKnown)
        {
            foreach (Located<string> peer in bridging.Flood ?? []) RefuseUnknown(peer, $"flood of segment '{name}'");
            foreach (FixedMacOptions entry in bridging.Fdb)
            {
                if (entry.Peer is { } peer) RefuseUnknown(peer, $"fdb {entry.Mac}");
            }
        }
        RefuseTwice(bridging.Flood ?? [], peer => $"peer '{peer}' is in flood of segment '{name}' twice");
        RefuseTwice(bridging.Fdb.Select(entry => entry.Mac), mac => $"fdb of segment '{name}' has {mac} twice");
        RefuseTwice(bridging.Neighbours.Select(each => each.Address), each => $"neighbour {each} of segment '{name}' was listed already");
        MacAddress own = segment.Mac?.Value ?? DeviceMac.Derive(options.Node, segment.Name);
        foreach (FixedMacOptions entry in bridging.Fdb.Where(entry => entry.Mac.Value == own))
            problems.Add(entry.Mac.Line, $"fdb {entry.Mac} is the MAC of the segment's own device", "leave it out");
    }

    private void RefuseUnknown(Located<string> peer, string where)
    {
        if (_peers.Contains(peer)) return;
        string remedy = _peers.Count == 0 ? "list it under 'peers:'" : $"did you mean '{NearestWord.Of(peer, _peers)}'?";
        problems.Add(peer.Line, $"{where} names the peer '{peer}', which is not listed", remedy);
    }

    private void RefuseTwice<T>(IEnumerable<Located<T>> values, Func<Located<T>, string> wrong)
        where T : notnull
    {
        var seen = new HashSet<T>();
        foreach (Located<T> value in values)
        {
            if (!seen.Add(value.Value)) problems.Add(value.Line, wrong(value), "keep one of them");
        }
    }
}
