using Overlay.Dataplane.Tunnels;

namespace Overlay.Agent.Configuration;

/// <summary>How encapsulations are written in the configuration and the status.</summary>
internal static class EncapsulationNames
{
    public static string Of(Encapsulation encapsulation) => encapsulation switch
    {
        Encapsulation.Vxlan => "vxlan",
        Encapsulation.Geneve => "geneve",
        _ => "ipip",
    };

    /// <summary>A segment's format in words: the encapsulation, and what differs from its plain form.</summary>
    public static string Of(TunnelFormat tunnel)
    {
        var words = new List<string> { Of(tunnel.Encapsulation) };
        if (tunnel.IsBareIp && !tunnel.IsIpInIp) words.Add("bare IP");
        if (tunnel.GeneveOptions.Length > 0) words.Add($"{tunnel.GeneveOptions.Length} bytes of options");
        if (tunnel.GroupPolicy is { } policy) words.Add($"group policy {policy}");
        if (tunnel.MarksGroupPolicy) words.Add("group policy by mark");
        if (tunnel.KeepsVlanTags) words.Add("VLAN tags kept");
        return string.Join(", ", words);
    }
}
