using System.Net;
using System.Net.Sockets;
using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>Checks values against each other: references, duplicates, and what would make the node its own peer.</summary>
internal sealed class ConfigurationChecks(OverlaydOptions options, ConfigurationProblems problems)
{
    /// <summary>False where a refused peer or segment may be what a route names.</summary>
    private readonly bool _everythingWasRead = !problems.Any;

    public void Run()
    {
        CheckUnderlay();
        new TunnelChecks(options, problems).Run();
        new BridgingChecks(options, problems).Run(_everythingWasRead);
        CheckSegments();
        new PodsChecks(options, problems).Run();
        CheckPeers();
        CheckMacs();
        new RouteChecks(options, problems).Run(_everythingWasRead);
    }

    private void CheckUnderlay()
    {
        RefuseDuplicates(
            options.Underlay.Addresses,
            address => address.Value.AddressFamily,
            address => address.Line,
            (address, first) => $"underlay address {address} is of the same family as {first}",
            "keep one address a family");
    }

    private void CheckSegments()
    {
        RefuseDuplicates(
            options.Segments, s => s.Name.Value, s => s.Name.Line,
            (s, first) => $"segment '{s.Name}' was listed in line {first.Name.Line} already", "give each segment a name of its own");
        RefuseDuplicates(
            options.Segments.Where(s => s.Vni.Value != SegmentOptions.NoVni), s => s.Vni.Value, s => s.Vni.Line,
            (s, first) => $"vni {s.Vni} of segment '{s.Name}' is that of segment '{first.Name}'", "give each segment a VNI of its own");
        RefuseDuplicates(
            options.Segments, s => s.Device.Value, s => s.Device.Line,
            (s, first) => $"device '{s.Device}' of segment '{s.Name}' is that of segment '{first.Name}'",
            "give each segment a device of its own");
        RefuseDuplicates(
            options.Segments.SelectMany(s => s.Addresses), a => a.Value.Address, a => a.Line,
            (a, first) => $"address {a} was given in line {first.Line} already", "keep one of them");
        foreach (SegmentOptions segment in options.Segments)
        {
            if (options.Underlay.Interface?.Value == segment.Device.Value)
                problems.Add(segment.Device.Line, $"device '{segment.Device}' is the underlay's interface", "name a device that overlayd may create");
            CheckMtu(segment);
        }
    }

    private void CheckMtu(SegmentOptions segment)
    {
        if (segment.Mtu is not { } mtu || mtu.Value >= SegmentOptions.LeastIPv6Mtu) return;
        bool carriesIPv6 = segment.Addresses.Any(address => address.Value.IsIPv6)
            || options.Routes.Any(route => route.Segment.Value == segment.Name.Value
                && route.Prefix.Value.BaseAddress.AddressFamily == AddressFamily.InterNetworkV6);
        if (!carriesIPv6) return;
        problems.Add(
            mtu.Line, $"mtu {mtu} of segment '{segment.Name}' is too small for the IPv6 inside it",
            $"write at least {SegmentOptions.LeastIPv6Mtu} (RFC 8200, 5)");
    }

    private void CheckPeers()
    {
        RefuseDuplicates(
            options.Peers, p => p.Name.Value, p => p.Name.Line,
            (p, first) => $"peer '{p.Name}' was listed in line {first.Name.Line} already", "give each peer a name of its own");
        RefuseDuplicates(
            options.Peers, p => p.Address.Value, p => p.Address.Line,
            (p, first) => $"address {p.Address} of peer '{p.Name}' is that of peer '{first.Name}'", "give each peer its own address");
        foreach (PeerOptions peer in options.Peers)
        {
            if (peer.Name.Value == options.Node.Value)
                problems.Add(peer.Name.Line, $"peer '{peer.Name}' is this node itself", "leave it out of this node's peers");
            CheckPeerAddress(peer);
        }
    }

    private void CheckPeerAddress(PeerOptions peer)
    {
        if (options.Underlay.Addresses.Count == 0) return;
        IPAddress address = peer.Address.Value;
        if (options.Underlay.Addresses.Any(own => own.Value.Equals(address)))
            problems.Add(peer.Address.Line, $"address {address} of peer '{peer.Name}' is this node's own", "leave this node out of its peers");
        else if (options.Underlay.Addresses.All(own => own.Value.AddressFamily != address.AddressFamily))
            problems.Add(
                peer.Address.Line, $"address {address} of peer '{peer.Name}' is of a family in which the underlay has no address",
                $"add an {FamilyName(address)} address to 'underlay: addresses'");
    }

    private void CheckMacs()
    {
        var own = new Dictionary<MacAddress, string>();
        var told = new HashSet<string>();
        foreach (SegmentOptions segment in options.Segments) Claim(own, MacOf(segment), $"segment '{segment.Name}'");
        // Segments do not meet: a peer may have one MAC in several.
        foreach (SegmentOptions segment in options.Segments.Where(segment => segment.NeedsPeerMacs))
        {
            var owners = new Dictionary<MacAddress, string> { [MacOf(segment)] = $"segment '{segment.Name}'" };
            foreach (PeerOptions peer in options.Peers) Claim(owners, peer.MacIn(segment.Name), $"peer '{peer.Name}'");
        }

        void Claim(Dictionary<MacAddress, string> owners, Located<MacAddress> mac, string owner)
        {
            if (owners.TryAdd(mac, owner)) return;
            string wrong = $"mac {mac} of {owner} is that of {owners[mac]}";
            if (told.Add(wrong)) problems.Add(mac.Line, wrong, "give each tunnel device its own MAC");
        }

        Located<MacAddress> MacOf(SegmentOptions segment) => segment.Mac ?? new(DeviceMac.Derive(options.Node, segment.Name), segment.Name.Line);
    }

    private void RefuseDuplicates<T, TKey>(
        IEnumerable<T> items, Func<T, TKey> key, Func<T, int> line, Func<T, T, string> wrong, string remedy)
        where TKey : notnull
    {
        var seen = new Dictionary<TKey, T>();
        foreach (T item in items)
        {
            if (!seen.TryAdd(key(item), item)) problems.Add(line(item), wrong(item, seen[key(item)]), remedy);
        }
    }

    private static string FamilyName(IPAddress address) => address.AddressFamily == AddressFamily.InterNetwork ? "IPv4" : "IPv6";
}
