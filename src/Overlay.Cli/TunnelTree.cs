using System.Net;
using Overlay.Wire.Decoding;

namespace Overlay.Cli;

/// <summary>The headers of a tunnel, one a line.</summary>
internal static class TunnelTree
{
    /// <param name="decoded">Has a tunnel.</param>
    /// <param name="output">Gets the lines.</param>
    /// <param name="indent">In front of each.</param>
    public static void Write(DecodedFrame decoded, TextWriter output, string indent)
    {
        output.WriteLine($"{indent}outer {Text(decoded.OuterSource)} > {Text(decoded.OuterDestination)}");
        if (decoded.OuterDestinationPort is not null)
            output.WriteLine($"{indent}  UDP {decoded.OuterSourcePort} > {decoded.OuterDestinationPort}");
        output.WriteLine($"{indent}  {Header(decoded)}");
        foreach (DecodedOption option in decoded.Options ?? [])
        {
            string critical = (option.Type & Wire.GeneveOption.CriticalBit) != 0 ? " critical" : "";
            output.WriteLine(
                $"{indent}    option class 0x{option.Class:x4} type 0x{option.Type:x2}{critical}, {option.Data.Length} bytes {Convert.ToHexStringLower(option.Data.Span)}");
        }
        output.WriteLine($"{indent}    inner {(decoded.InnerLength is null ? "of unknown length" : $"{decoded.InnerLength} bytes")}");
        if (decoded.InnerEthernetSource is not null)
            output.WriteLine($"{indent}      Ethernet {decoded.InnerEthernetSource} > {decoded.InnerEthernetDestination}");
        if (decoded.InnerSource is not null) output.WriteLine($"{indent}      IP {Text(decoded.InnerSource)} > {Text(decoded.InnerDestination)}");
    }

    private static string Text(IPAddress? address) => address is null ? "unknown" : AddressText.Format(address);

    private static string Header(DecodedFrame decoded)
    {
        string name = decoded.Tunnel switch
        {
            TunnelKind.Vxlan => "VXLAN",
            TunnelKind.VxlanGpe => "VXLAN-GPE",
            TunnelKind.Geneve => "Geneve",
            TunnelKind.Ipv4InIpv4 => "IPv4 in IPv4",
            TunnelKind.Ipv6InIpv4 => "IPv6 in IPv4",
            TunnelKind.Ipv4InIpv6 => "IPv4 in IPv6",
            TunnelKind.Ipv6InIpv6 => "IPv6 in IPv6",
            _ => throw new ArgumentOutOfRangeException(nameof(decoded), decoded.Tunnel, null),
        };
        if (decoded.Vni is not null) name += $" VNI {decoded.Vni}";
        if (decoded.VxlanFlags is not null) name += $", flags 0x{decoded.VxlanFlags:x2}";
        if (decoded.GroupPolicyId is not null) name += $", group policy {decoded.GroupPolicyId}";
        if (decoded.InnerProtocol is not null) name += $", protocol 0x{decoded.InnerProtocol:x4}";
        if (decoded.IsOam == true) name += ", OAM";
        if (decoded.HasCriticalOptions == true) name += ", critical options";
        return name;
    }
}
