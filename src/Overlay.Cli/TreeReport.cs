using System.Net;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Cli;

/// <summary>A line a frame, and under it a line a header.</summary>
internal sealed class TreeReport(Stream output) : IFrameReport
{
    private readonly StreamWriter _output = new(output, leaveOpen: true);

    public void Write(long number, CapturedFrame frame, DecodedFrame decoded)
    {
        string cut = frame.CapturedLength < frame.Length ? $", {frame.CapturedLength} captured" : "";
        _output.WriteLine($"frame {number}: {frame.Length} bytes{cut}");
        if (decoded.Tunnel == TunnelKind.None) _output.WriteLine("  no tunnel");
        else WriteTunnel(decoded);
        if (decoded.Error is not null) _output.WriteLine($"  error: {decoded.Error}");
    }

    public void Flush() => _output.Flush();

    public void Dispose() => _output.Dispose();

    private void WriteTunnel(DecodedFrame decoded)
    {
        _output.WriteLine($"  outer {Text(decoded.OuterSource)} > {Text(decoded.OuterDestination)}");
        if (decoded.OuterDestinationPort is not null)
            _output.WriteLine($"    UDP {decoded.OuterSourcePort} > {decoded.OuterDestinationPort}");
        _output.WriteLine($"    {Header(decoded)}");
        foreach (DecodedOption option in decoded.Options ?? [])
        {
            string critical = (option.Type & Wire.GeneveOption.CriticalBit) != 0 ? " critical" : "";
            _output.WriteLine(
                $"      option class 0x{option.Class:x4} type 0x{option.Type:x2}{critical}, {option.Data.Length} bytes {Convert.ToHexStringLower(option.Data.Span)}");
        }
        _output.WriteLine($"      inner {(decoded.InnerLength is null ? "of unknown length" : $"{decoded.InnerLength} bytes")}");
        if (decoded.InnerEthernetSource is not null)
            _output.WriteLine($"        Ethernet {decoded.InnerEthernetSource} > {decoded.InnerEthernetDestination}");
        if (decoded.InnerSource is not null) _output.WriteLine($"        IP {Text(decoded.InnerSource)} > {Text(decoded.InnerDestination)}");
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
