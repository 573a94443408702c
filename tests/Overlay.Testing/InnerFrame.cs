using Overlay.Dataplane.Offload;
using Overlay.Wire;

namespace Overlay.Testing;

/// <summary>An inner TCP or UDP frame as a workload's kernel hands it to the device: finished, or left to offloads.</summary>
public sealed record InnerFrame
{
    private static readonly MacAddress Workload = new([0x02, 0, 0, 0, 0, 0x0a]);
    private static readonly MacAddress Gateway = new([0x02, 0, 0, 0, 0, 0x0b]);

    public bool IsIpv6 { get; init; }

    public bool IsUdp { get; init; }

    /// <summary>Host-order bits; of IPv4 the lower 32.</summary>
    public required UInt128 Source { get; init; }

    /// <summary>Host-order bits; of IPv4 the lower 32.</summary>
    public required UInt128 Destination { get; init; }

    public ushort SourcePort { get; init; } = 40_000;

    public ushort DestinationPort { get; init; } = 5201;

    public required byte[] Payload { get; init; }

    public byte TrafficClass { get; init; }

    public ushort Identification { get; init; } = 0xfffe;

    public uint SequenceNumber { get; init; } = 0xffff_f000;

    public TcpFlags Flags { get; init; } = TcpFlags.Ack;

    /// <summary>IPv4 options, or TCP's; a multiple of 4 bytes.</summary>
    public byte[] Ipv4Options { get; init; } = [];

    public byte[] TcpOptions { get; init; } = [];

    /// <summary>Bytes of a destination options header in front of the transport; 0 or a multiple of 8.</summary>
    public int Ipv6Extension { get; init; }

    public VlanTag[] Tags { get; init; } = [];

    public int NetworkOffset => EthernetFrame.MinHeaderLength + (Tags.Length * VlanTag.Length);

    public int TransportOffset =>
        NetworkOffset + (IsIpv6 ? Ipv6Packet.HeaderLength + Ipv6Extension : Ipv4Packet.MinHeaderLength + Ipv4Options.Length);

    public int HeaderLength => TransportOffset + (IsUdp ? UdpHeader.HeaderLength : TcpHeader.MinLength + TcpOptions.Length);

    private byte Protocol => IsUdp ? IpProtocols.Udp : IpProtocols.Tcp;

    /// <summary>The frame with a finished transport checksum.</summary>
    public byte[] Finished() => Build(finished: true);

    /// <summary>The frame with the folded pseudo-header sum in the checksum field, for <see cref="Offload"/>.</summary>
    public byte[] Unfinished() => Build(finished: false);

    /// <summary>What a device says in front of <see cref="Unfinished"/>.</summary>
    /// <param name="segmentSize">Payload bytes a segment; 0 when the frame is one packet.</param>
    public VirtioNetHeader Offload(int segmentSize) => new()
    {
        Flags = VirtioNetFlags.NeedsChecksum,
        GsoType = (segmentSize, IsUdp, IsIpv6) switch
        {
            (0, _, _) => VirtioGsoType.None,
            (_, true, _) => VirtioGsoType.Udp,
            (_, _, true) => VirtioGsoType.Tcp6,
            _ => VirtioGsoType.Tcp4,
        },
        HeaderLength = (ushort)HeaderLength,
        SegmentSize = (ushort)segmentSize,
        ChecksumStart = (ushort)TransportOffset,
        ChecksumOffset = (ushort)(IsUdp ? UdpHeader.ChecksumOffset : TcpHeader.ChecksumOffset),
    };

    private byte[] Build(bool finished)
    {
        byte[] frame = new byte[HeaderLength + Payload.Length];
        EthernetFrame.WriteHeader(frame, Gateway, Workload, Tags, IsIpv6 ? EtherTypes.Ipv6 : EtherTypes.Ipv4);
        WriteNetwork(frame.AsSpan(NetworkOffset), frame.Length - NetworkOffset);
        Span<byte> transport = frame.AsSpan(TransportOffset);
        Payload.CopyTo(frame, HeaderLength);
        int checksumOffset = UdpHeader.ChecksumOffset;
        if (IsUdp)
        {
            UdpHeader.Write(transport, SourcePort, DestinationPort, transport.Length);
        }
        else
        {
            checksumOffset = TcpHeader.ChecksumOffset;
            TcpHeader.Write(transport, new TcpFields
            {
                SourcePort = SourcePort,
                DestinationPort = DestinationPort,
                SequenceNumber = SequenceNumber,
                AcknowledgmentNumber = 77,
                Flags = Flags,
                Window = 501,
            }, TcpOptions);
        }
        ulong sum = IsIpv6
            ? InternetChecksum.PseudoHeaderV6(Source, Destination, Protocol, transport.Length)
            : InternetChecksum.PseudoHeaderV4((uint)Source, (uint)Destination, Protocol, transport.Length);
        ushort checksum = finished ? InternetChecksum.Finish(InternetChecksum.Add(transport, sum)) : InternetChecksum.Fold(sum);
        if (finished && IsUdp && checksum == 0) checksum = ushort.MaxValue;
        InternetChecksum.Store(transport[checksumOffset..], checksum);
        return frame;
    }

    private void WriteNetwork(Span<byte> packet, int length)
    {
        if (!IsIpv6)
        {
            Ipv4Packet.WriteHeader(packet, new Ipv4Fields
            {
                TrafficClass = TrafficClass,
                TotalLength = length,
                Identification = Identification,
                DontFragment = true,
                TimeToLive = 63,
                Protocol = Protocol,
                Source = (uint)Source,
                Destination = (uint)Destination,
            }, Ipv4Options);
            return;
        }
        Ipv6Packet.WriteHeader(packet, new Ipv6Fields
        {
            TrafficClass = TrafficClass,
            FlowLabel = 0x12345,
            PayloadLength = length - Ipv6Packet.HeaderLength,
            NextHeader = Ipv6Extension > 0 ? IpProtocols.DestinationOptions : Protocol,
            HopLimit = 63,
            Source = Source,
            Destination = Destination,
        });
        if (Ipv6Extension == 0) return;
        Span<byte> extension = packet.Slice(Ipv6Packet.HeaderLength, Ipv6Extension);
        extension[0] = Protocol;
        extension[1] = (byte)((Ipv6Extension / 8) - 1);
        extension[2] = 1; // PadN over the rest
        extension[3] = (byte)(Ipv6Extension - 4);
    }
}
