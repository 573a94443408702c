using System.Text;

namespace Overlay.SystemTests.Lab;

/// <summary>A configuration file of the daemon. Lists may be changed before it is written.</summary>
internal sealed record DaemonConfiguration
{
    public required LabNode Node { get; init; }

    public required TunnelOptions Tunnel { get; init; }

    /// <summary>Whether the device outlives the daemon.</summary>
    public bool Persistent { get; init; }

    /// <summary>Whether the device has the node's overlay addresses: not as a port of a bridge.</summary>
    public bool HasAddresses { get; init; } = true;

    public List<LabNode> Peers { get; init; } = [];

    /// <summary>Prefix and name of the peer.</summary>
    public List<(string Prefix, string Peer)> Routes { get; init; } = [];

    /// <summary>Further sections, as they stand in the file.</summary>
    public string Sections { get; init; } = "";

    /// <summary>The whole file where the rest cannot say it; SOCKET stands for the socket's path.</summary>
    public string? Text { get; init; }

    /// <summary>Every peer's pods behind that peer.</summary>
    public static DaemonConfiguration For(LabNode node, IEnumerable<LabNode> peers, TunnelOptions tunnel)
    {
        var configuration = new DaemonConfiguration { Node = node, Tunnel = tunnel };
        foreach (LabNode peer in peers)
        {
            configuration.Peers.Add(peer);
            configuration.Routes.Add((peer.PodPrefix4, peer.Name));
            configuration.Routes.Add((peer.PodPrefix6, peer.Name));
        }
        return configuration;
    }

    /// <param name="socket">Path of the daemon's own socket.</param>
    public string ToYaml(string socket)
    {
        if (Text is not null) return Text.Replace("SOCKET", socket, StringComparison.Ordinal);
        var yaml = new StringBuilder($"""
            node: {Node.Name}
            api:
              socket: {socket}
            underlay:
            {Unless(!Tunnel.HasInterface, $"  interface: {LabNode.UnderlayDevice}")}
              addresses: ["{Node.Underlay}"]
            {Unless(Tunnel.IsIpInIp, $"  port: {Tunnel.Port}")}
            {Lines("  ", Tunnel.UnderlayLines ?? [$"ttl: {Tunnel.HopLimit}", $"trafficClass: {Tunnel.TrafficClass}"])}
              queues: {Tunnel.Queues}
            {Lines("  ", Tunnel.PathMtuLines)}
            tunnel:
              encapsulation: {Tunnel.Encapsulation}
              egress: {Tunnel.Egress}
            {Lines("  ", Tunnel.TunnelLines)}
            segments:
              - name: pods
            {Unless(Tunnel.IsIpInIp, $"    vni: {Tunnel.Vni}")}
                device: overlay0
                mac: {Node.Mac}
                persistent: {(Persistent ? "true" : "false")}
            {Lines("    ", Tunnel.SegmentLines)}
                addresses: [{(HasAddresses ? $"{Node.Tunnel4}/32, \"{Node.Tunnel6}/128\"" : "")}]

            """);
        AppendList(yaml, "peers", Peers.Select(peer =>
            $"{{ name: {peer.Name}, address: \"{peer.Underlay}\"{Unless(Tunnel.IsIpInIp, $", mac: \"{peer.Mac}\"")} }}"));
        AppendList(yaml, "routes", Routes.Select(route => $"{{ prefix: \"{route.Prefix}\", peer: {route.Peer} }}"));
        return yaml.Append(Sections).ToString();
    }

    private static string Unless(bool absent, string text) => absent ? "" : text;

    private static string Lines(string indentation, string[] lines) => string.Join('\n', lines.Select(line => indentation + line));

    private static void AppendList(StringBuilder yaml, string key, IEnumerable<string> entries)
    {
        yaml.Append(key).Append(':');
        string[] lines = [.. entries.Select(entry => $"  - {entry}\n")];
        yaml.Append(lines.Length == 0 ? " []\n" : "\n").AppendJoin("", lines);
    }
}
