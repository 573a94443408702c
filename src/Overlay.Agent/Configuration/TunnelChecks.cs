using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>Refuses encapsulations and their extensions that contradict each other.</summary>
internal sealed class TunnelChecks(OverlaydOptions options, ConfigurationProblems problems)
{
    public void Run()
    {
        if (options.Tunnel.Encapsulation.Value == Encapsulation.IpInIp) CheckNoPort();
        else CheckPorts();
        CheckIpInIp();
        CheckChecksums();
        foreach (SegmentOptions segment in options.Segments) CheckSegment(segment.Name, segment.Tunnel);
        foreach (SegmentOptions segment in options.Segments.Where(segment => segment is { Bridging: not null, Tunnel.MarksGroupPolicy: true }))
        {
            problems.Add(
                segment.Tunnel.GroupPolicy!.Value.Line,
                $"groupPolicy mark of segment '{segment.Name}' is for routed ones: frames of a bridge have no room for the mark beside their MAC addresses",
                "write 'kind: routed', or a number to send");
        }
    }

    private void CheckNoPort()
    {
        if (options.Underlay.Port.Value != 0)
            problems.Add(
                options.Underlay.Port.Line, $"port {options.Underlay.Port} is that of the tunnel's encapsulation, and ipip has no ports",
                "leave it out; ports of encapsulations that are accepted are 'tunnel: vxlanPort' and 'genevePort'");
        if (options.Ports.Select(port => port.Port).Distinct().Count() < options.Ports.Count)
            problems.Add(options.Tunnel.Encapsulation.Line, "vxlanPort and genevePort are the same", "give each encapsulation a port of its own");
    }

    private void CheckIpInIp()
    {
        if (!options.UsesIpInIp)
        {
            const string remedy = "leave it out, or write 'accept: [ipip]'";
            if (options.Tunnel.EncapsulationLimit is { } limit)
                problems.Add(limit.Line, "encapsulationLimit is that of ipip, which is neither sent nor accepted", remedy);
            if (options.Tunnel.IpInIpSegment is { } unused)
                problems.Add(unused.Line, $"ipipSegment '{unused}' has no use: ipip is neither sent nor accepted", remedy);
            return;
        }
        SegmentOptions[] senders = [.. options.Segments.Where(segment => segment.Tunnel.Encapsulation.Value == Encapsulation.IpInIp)];
        if (senders.Length > 1)
        {
            problems.Add(
                senders[1].Name.Line, $"segment '{senders[1].Name}' is ipip like segment '{senders[0].Name}', and IP-in-IP packets name no segment",
                "keep one ipip segment");
        }
        else if (senders.Length == 0 && options.Segments.Count > 1 && options.Tunnel.IpInIpSegment is null)
        {
            problems.Add(
                options.Tunnel.Accept.First(accepted => accepted.Value == Encapsulation.IpInIp).Line,
                $"ipip is accepted, and its packets do not say for which of {options.Segments.Count} segments they are",
                $"name it with 'ipipSegment: {options.Segments[0].Name}'");
        }
        // Without any, controllers tell the segments.
        if (options.Tunnel.IpInIpSegment is { } named && options.Segments.Count > 0) CheckIpInIpSegment(named, senders);
        if (options.IpInIpSegment is { Bridging: { } bridging } bridged)
        {
            problems.Add(
                bridging.Line, $"segment '{bridged.Name}' is bridged, and ipip, of which it gets the packets, has no Ethernet headers",
                "write 'kind: routed', or leave ipip out");
        }
        if (options.Ports.Count > 0) return;
        foreach (SegmentOptions segment in senders.Where(segment => segment.Vni.Value != SegmentOptions.NoVni))
        {
            problems.Add(
                segment.Vni.Line, $"vni {segment.Vni} of segment '{segment.Name}' has no use: IP-in-IP carries none, and nothing else is accepted",
                "leave it out");
        }
        foreach (PeerOptions peer in options.Peers.Where(peer => peer.Port.Value != 0))
            problems.Add(peer.Port.Line, $"port {peer.Port} of peer '{peer.Name}' has no use: IP-in-IP has no ports", "leave it out");
        if (options.Tunnel.Egress.Value == EgressMode.TunnelGso)
            problems.Add(options.Tunnel.Egress.Line, "egress tunnel-gso has no use: IP-in-IP packets leave one a message", "leave it out");
    }

    private void CheckIpInIpSegment(Located<string> named, SegmentOptions[] senders)
    {
        if (options.Segments.All(segment => segment.Name.Value != named.Value))
        {
            problems.Add(
                named.Line, $"ipipSegment '{named}' is not listed",
                $"did you mean '{NearestWord.Of(named, options.Segments.Select(segment => segment.Name.Value))}'?");
        }
        else if (senders is [var sender] && sender.Name.Value != named.Value)
        {
            problems.Add(
                named.Line, $"ipipSegment '{named}' contradicts segment '{sender.Name}', which sends in ipip and so gets what arrives in it",
                "leave it out");
        }
    }

    private void CheckPorts()
    {
        TunnelOptions tunnel = options.Tunnel;
        bool isVxlan = tunnel.Encapsulation.Value == Encapsulation.Vxlan;
        if ((isVxlan ? tunnel.VxlanPort : tunnel.GenevePort) is { } own)
        {
            problems.Add(
                own.Line, $"{(isVxlan ? "vxlanPort" : "genevePort")} {own} is the port of the tunnel's own encapsulation", "write it as 'underlay: port'");
        }
        if ((isVxlan ? tunnel.GenevePort : tunnel.VxlanPort) is { } other && other.Value == options.Underlay.Port.Value)
            problems.Add(other.Line, $"port {other} is that of 'underlay: port' too", "give each encapsulation a port of its own");
        else if (options.Ports.Select(port => port.Port).Distinct().Count() < options.Ports.Count)
            problems.Add(
                options.Underlay.Port.Line, $"port {options.Underlay.Port} is that of both encapsulations",
                $"write 'tunnel: {(isVxlan ? "genevePort" : "vxlanPort")}:' with another one");
    }

    private void CheckChecksums()
    {
        TunnelOptions tunnel = options.Tunnel;
        if (!tunnel.Checksum && tunnel.Egress.Value == EgressMode.TunnelGso)
        {
            problems.Add(
                tunnel.Checksum.Line, "'checksum: false' does not go with 'egress: tunnel-gso': tunnel super-packets have checksums",
                "write 'checksum: true', or another egress");
        }
    }

    private void CheckSegment(string name, SegmentTunnelOptions tunnel)
    {
        if (tunnel.Encapsulation.Value == Encapsulation.IpInIp)
        {
            if (tunnel.GroupPolicy is { } policy)
                problems.Add(policy.Line, $"groupPolicy {tunnel.GroupPolicyText} of segment '{name}' is VXLAN's, and the segment's encapsulation is ipip", "leave it out");
            if (tunnel.GeneveOptions is [var option, ..])
                problems.Add(option.Class.Line, $"options of segment '{name}' are Geneve's, and the segment's encapsulation is ipip", "leave them out");
            if (tunnel.KeepsVlanTags)
                problems.Add(tunnel.KeepsVlanTags.Line, $"vlan keep of segment '{name}' needs an Ethernet header, and ipip has none", "write 'vlan: strip'");
        }
        else if (tunnel.Encapsulation.Value == Encapsulation.Geneve)
        {
            if (tunnel.GroupPolicy is { } own)
                problems.Add(own.Line, $"groupPolicy {tunnel.GroupPolicyText} of segment '{name}' is VXLAN's, and the segment's encapsulation is geneve", "leave it out");
        }
        else
        {
            if (tunnel.BareIp)
                problems.Add(tunnel.BareIp.Line, $"payload ip of segment '{name}' is Geneve's, and VXLAN carries Ethernet only", "write 'payload: ethernet'");
            if (tunnel.GeneveOptions is [var first, ..])
                problems.Add(first.Class.Line, $"options of segment '{name}' are Geneve's, and the segment's encapsulation is vxlan", "leave them out");
        }
        if (tunnel is { BareIp.Value: true, KeepsVlanTags.Value: true })
            problems.Add(tunnel.KeepsVlanTags.Line, $"vlan keep of segment '{name}' needs an Ethernet header, and the payload is ip", "write 'vlan: strip'");
        int length = tunnel.GeneveOptions.Sum(each => GeneveOption.HeaderLength + each.Data.Value.Length);
        if (length > GeneveHeader.MaxOptionsLength)
        {
            problems.Add(
                tunnel.GeneveOptions[^1].Class.Line, $"the options of segment '{name}' have {length} bytes",
                $"keep them to {GeneveHeader.MaxOptionsLength}, headers included");
        }
    }
}
