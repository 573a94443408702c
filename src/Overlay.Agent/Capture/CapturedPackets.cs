using System.Globalization;
using System.Text;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Offload;
using Overlay.Wire;
using Overlay.Wire.Capture;

namespace Overlay.Agent.Capture;

/// <summary>
/// Writes what observers saw to a capture file: inner and outer packets as of two interfaces, checksums finished, each with a comment.
/// </summary>
/// <param name="writer">Of the file; its section header is written.</param>
/// <param name="outer">Writes outer headers.</param>
/// <param name="segmented">Super-packets are written as the packets that they stand for.</param>
internal sealed class CapturedPackets(PcapngWriter writer, OuterHeaders outer, bool segmented)
{
    public const int MostSnapLength = 262_144;
    private const int MostHeaders = 512;

    private readonly int[] _interfaces =
    [
        writer.AddInterface("inner", "between overlayd and the devices of segments"), writer.AddInterface("outer", "between overlayd and the underlay"),
    ];

    private readonly byte[] _packet = new byte[MostSnapLength];
    private readonly byte[] _headers = new byte[MostHeaders];
    private readonly byte[] _joined = new byte[MostSnapLength + MostHeaders];
    private readonly long[] _written = new long[2];

    /// <summary>Packets written.</summary>
    public long Count { get; private set; }

    /// <param name="record">What is known of the packet.</param>
    /// <param name="bytes">What was kept of it.</param>
    /// <param name="most">Most packets to write.</param>
    public void Write(in PacketRecord record, ReadOnlySpan<byte> bytes, long most)
    {
        string comment = Comment(record, bytes);
        bool isWhole = record.Kept == record.Length;
        Span<byte> packet = _packet.AsSpan(0, bytes.Length);
        bytes.CopyTo(packet);
        int frameStart = record.At == ObservedAt.Inner ? 0 : record.Segment?.HeaderLength ?? 0;
        bool isUnfinished = (record.Offload.Flags & VirtioNetFlags.NeedsChecksum) != 0;
        if (!isWhole || !isUnfinished || InnerPacket.TryParse(packet[frameStart..], out InnerPacket inner) != WireStatus.Ok
            || !OffloadRequest.IsConsistent(OffloadOf(record, inner), inner, out int segments))
        {
            Write(record, packet, default, record.Length, comment);
            return;
        }
        if (!segmented || segments < 2)
        {
            ChecksumOffload.Finish(packet[frameStart..], inner, OffloadOf(record, inner));
            Write(record, packet, default, record.Length, comment);
            return;
        }
        var super = new SuperPacket(packet, frameStart + inner.NetworkOffset, inner, record.Offload.SegmentSize);
        ReadOnlySpan<byte> payload = packet[(frameStart + inner.HeadersEnd)..(frameStart + inner.End)];
        for (int offset = 0; offset < payload.Length && most > 0; offset += super.SegmentSize, most--)
        {
            ReadOnlySpan<byte> part = payload[offset..Math.Min(offset + super.SegmentSize, payload.Length)];
            Span<byte> headers = _headers.AsSpan(0, super.HeaderLength);
            super.WriteHeaders(headers, offset, part.Length);
            super.FinishChecksum(headers, part);
            Write(record, headers, part, headers.Length + part.Length, comment);
        }
    }

    /// <summary>Ends the file with what was lost.</summary>
    public void WriteStatistics(DateTime from, long lostInner, long lostOuter)
    {
        TimeSpan until = DateTime.UtcNow - DateTime.UnixEpoch;
        writer.WriteStatistics(_interfaces[(int)ObservedAt.Inner], from - DateTime.UnixEpoch, until, _written[(int)ObservedAt.Inner] + lostInner, lostInner);
        writer.WriteStatistics(_interfaces[(int)ObservedAt.Outer], from - DateTime.UnixEpoch, until, _written[(int)ObservedAt.Outer] + lostOuter, lostOuter);
    }

    private void Write(in PacketRecord record, ReadOnlySpan<byte> start, ReadOnlySpan<byte> rest, int length, string comment)
    {
        var time = new TimeSpan(record.Time - DateTime.UnixEpoch.Ticks);
        CaptureDirection direction = record.IsEgress ? CaptureDirection.Outbound : CaptureDirection.Inbound;
        if (record.At == ObservedAt.Outer)
        {
            ReadOnlySpan<byte> headers = outer.Write(record, start, rest, length);
            Span<byte> joined = _joined.AsSpan(0, headers.Length + start.Length);
            headers.CopyTo(joined);
            start.CopyTo(joined[headers.Length..]);
            writer.WritePacket(_interfaces[(int)record.At], time, joined, rest, headers.Length + length, direction, comment);
        }
        else
        {
            writer.WritePacket(_interfaces[(int)record.At], time, start, rest, length, direction, comment);
        }
        _written[(int)record.At]++;
        Count++;
    }

    /// <summary>Of the inner frame; that of a tunnel super-packet counts from the outer headers.</summary>
    private static VirtioNetHeader OffloadOf(in PacketRecord record, in InnerPacket inner)
    {
        VirtioNetHeader offload = record.Offload;
        if (record.At == ObservedAt.Inner) return offload;
        offload.GsoType &= ~(VirtioGsoType.TunnelIpv4 | VirtioGsoType.TunnelIpv6);
        offload.Flags = VirtioNetFlags.NeedsChecksum;
        offload.ChecksumStart = (ushort)inner.TransportOffset;
        return offload;
    }

    private static string Comment(in PacketRecord record, ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder();
        text.Append("segment=").Append(record.Segment?.Name ?? "(none)");
        if (record.Peer is { } peer) text.Append(" peer=").Append(peer.Name);
        else if (record.At == ObservedAt.Outer) text.Append(" peer=(unknown)");
        if (record.IsEgress && Route(record, bytes) is { } route) text.Append(" route=").Append(route);
        text.Append(" verdict=").Append(record.Verdict switch
        {
            PacketVerdict.Answered => "answered",
            PacketVerdict.PathMessage => "path-message",
            PacketVerdict.Own => $"own ({OwnName(bytes)})",
            PacketVerdict.Dropped => "dropped",
            _ => record.IsEgress ? "forwarded" : "delivered",
        });
        if (record.Verdict == PacketVerdict.Dropped) text.Append(" reason=").Append(DropReasons.Name(record.Reason)).Append(" (").Append(DropReasons.Meaning(record.Reason)).Append(')');
        if (record.Offload.SegmentSize > 0) text.Append(CultureInfo.InvariantCulture, $" super-packet={record.Length}/{record.Offload.SegmentSize}");
        return text.ToString();
    }

    /// <summary>What the daemon made.</summary>
    private static string OwnName(ReadOnlySpan<byte> frame)
    {
        if (InnerPacket.TryParse(frame, out InnerPacket packet) != WireStatus.Ok) return "ICMP error";
        if (packet.EtherType == EtherTypes.Arp) return "ARP reply";
        return packet.IsIpv6 && packet.TransportOffset < frame.Length && frame[packet.TransportOffset] == Icmpv6Types.NeighborAdvertisement ? "neighbour advertisement" : "ICMP error";
    }

    /// <summary>The prefix that decided, by the table that packets are looked up in.</summary>
    private static string? Route(in PacketRecord record, ReadOnlySpan<byte> bytes)
    {
        if (record.Segment is not { Bridge: null } segment || record.Verdict == PacketVerdict.PathMessage) return null;
        UInt128? destination = DestinationOf(record, segment, bytes);
        if (destination is not { } to || segment.Routes.Match(to) is not { } prefix) return null;
        return string.Create(CultureInfo.InvariantCulture, $"{IpBits.ToAddress(prefix.Address)}/{prefix.Length}");
    }

    private static UInt128? DestinationOf(in PacketRecord record, Segment segment, ReadOnlySpan<byte> bytes)
    {
        ReadOnlySpan<byte> ip;
        if (record.At == ObservedAt.Outer && segment.Tunnel.IsBareIp) ip = bytes[Math.Min(segment.HeaderLength, bytes.Length)..];
        else if (EthernetFrame.TryParse(bytes[Math.Min(record.At == ObservedAt.Inner ? 0 : segment.HeaderLength, bytes.Length)..], out EthernetFrame ethernet) == WireStatus.Ok) ip = ethernet.Payload;
        else return null;
        if (Ipv4Packet.TryParseHeader(ip, out Ipv4Packet v4) == WireStatus.Ok) return IpBits.Mapped(v4.Destination);
        return ip.Length >= Ipv6Packet.HeaderLength && ip[0] >> 4 == 6 ? System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(ip[24..]) : null;
    }
}
