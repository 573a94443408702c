using System.Globalization;
using System.Net;
using System.Text;
using Overlay.Wire;
using Overlay.Wire.Capture;

namespace Overlay.Cli;

/// <summary>A line a packet: time, direction, place, what it is, and its comment.</summary>
internal static class CaptureLines
{
    private static readonly string[] Places = ["inner", "outer"];

    /// <exception cref="CaptureFormatException">The stream ends inside a block.</exception>
    public static void Write(Stream packets, TextWriter output)
    {
        CaptureReader reader = CaptureReader.Open(packets);
        while (reader.TryRead(out CapturedFrame frame))
        {
            output.WriteLine(Line(frame));
            output.Flush();
        }
    }

    private static string Line(in CapturedFrame frame)
    {
        var line = new StringBuilder();
        if (frame.Time is { } time) line.Append(CultureInfo.InvariantCulture, $"{DateTime.UnixEpoch + time:HH:mm:ss.ffffff} ");
        line.Append(frame.Direction switch { CaptureDirection.Outbound => "out ", CaptureDirection.Inbound => "in  ", _ => "    " });
        line.Append(frame.InterfaceNumber < Places.Length ? Places[frame.InterfaceNumber] : "?").Append(' ');
        AppendPacket(line, frame.Data);
        line.Append(CultureInfo.InvariantCulture, $" {frame.Length} B");
        if (frame.Comment is { } comment) line.Append("  ").Append(comment);
        return line.ToString();
    }

    private static void AppendPacket(StringBuilder line, ReadOnlySpan<byte> data)
    {
        if (EthernetFrame.TryParse(data, out EthernetFrame ethernet) != WireStatus.Ok)
        {
            line.Append("malformed");
            return;
        }
        if (ethernet.EtherType == EtherTypes.Arp && ArpPacket.TryParse(ethernet.Payload, out ArpPacket arp) == WireStatus.Ok)
            line.Append(CultureInfo.InvariantCulture, $"ARP {IpBits.ToAddress(IpBits.Mapped(arp.SenderAddress))} > {IpBits.ToAddress(IpBits.Mapped(arp.TargetAddress))}");
        else if (ethernet.EtherType == EtherTypes.Ipv4 && Ipv4Packet.TryParseHeader(ethernet.Payload, out Ipv4Packet v4) == WireStatus.Ok)
            AppendIp(line, IpBits.ToAddress(IpBits.Mapped(v4.Source)), IpBits.ToAddress(IpBits.Mapped(v4.Destination)), v4.Protocol, v4.FragmentOffset > 0, ethernet.Payload[v4.HeaderLength..]);
        else if (ethernet.EtherType == EtherTypes.Ipv6 && ethernet.Payload.Length >= Ipv6Packet.HeaderLength)
            AppendIp(line, new IPAddress(ethernet.Payload[8..24]), new IPAddress(ethernet.Payload[24..40]), ethernet.Payload[6], false, ethernet.Payload[Ipv6Packet.HeaderLength..]);
        else
            line.Append(CultureInfo.InvariantCulture, $"{ethernet.Source} > {ethernet.Destination} EtherType 0x{ethernet.EtherType:x4}");
    }

    private static void AppendIp(StringBuilder line, IPAddress source, IPAddress destination, byte protocol, bool isLaterFragment, ReadOnlySpan<byte> transport)
    {
        bool hasPorts = protocol is IpProtocols.Tcp or IpProtocols.Udp && !isLaterFragment && transport.Length >= 4;
        string name = protocol switch
        {
            IpProtocols.Tcp => "TCP",
            IpProtocols.Udp => "UDP",
            IpProtocols.Icmpv4 => "ICMP",
            IpProtocols.Icmpv6 => "ICMPv6",
            _ => string.Create(CultureInfo.InvariantCulture, $"IP protocol {protocol}"),
        };
        line.Append(name).Append(' ');
        if (!hasPorts)
        {
            line.Append(source).Append(" > ").Append(destination);
            return;
        }
        int from = (transport[0] << 8) | transport[1], to = (transport[2] << 8) | transport[3];
        line.Append(new IPEndPoint(source, from)).Append(" > ").Append(new IPEndPoint(destination, to));
    }
}
