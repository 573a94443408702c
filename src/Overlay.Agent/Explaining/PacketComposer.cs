using System.Buffers.Binary;
using System.Net;
using Overlay.Dataplane.Offload;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Explaining;

/// <summary>Makes the frame that a question is about, as a device would hand it over: with a TCP or UDP checksum left to us.</summary>
internal sealed class PacketComposer
{
    private const int DefaultPayload = 56;
    private const byte DefaultHops = 64;
    private const ushort DefaultSourcePort = 40_000;
    private const ushort DefaultDestinationPort = 80;
    /// <summary>Of either family, for a device delivers no more.</summary>
    private const int MaxPacket = 65_535;

    private readonly ExplainQuestion _question;
    private readonly UInt128 _from;
    private readonly UInt128 _to;
    private readonly bool _isIpv4;
    private readonly byte _protocol;
    private readonly int _ipHeader;
    private readonly int _header;
    private readonly int _length;

    /// <exception cref="QuestionRefusedException">The question contradicts itself.</exception>
    public PacketComposer(ExplainQuestion question, IPAddress from, IPAddress to)
    {
        if (from.AddressFamily != to.AddressFamily) throw new QuestionRefusedException($"no packet goes from {from} to {to}; give two addresses of one family");
        _question = question;
        _from = IpBits.V6OrMapped(from);
        _to = IpBits.V6OrMapped(to);
        _isIpv4 = IpBits.IsMapped(_to);
        byte echo = _isIpv4 ? IpProtocols.Icmpv4 : IpProtocols.Icmpv6;
        _protocol = question.Protocol ?? echo;
        if (!HasPorts && (question.SourcePort ?? question.DestinationPort) is not null)
            throw new QuestionRefusedException("only TCP and UDP have ports; give the protocol tcp or udp, or no ports");
        if (question.Mss is not null && _protocol != IpProtocols.Tcp) throw new QuestionRefusedException("only TCP has an MSS; give the protocol tcp");
        if (question.SegmentSize is not null && !HasPorts) throw new QuestionRefusedException("only TCP and UDP have super-packets; give the protocol tcp or udp");
        if (question is { SegmentSize: not null, Mss: not null }) throw new QuestionRefusedException("no super-packet is a SYN; give one of the two");
        _ipHeader = _isIpv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength;
        _header = _protocol switch
        {
            IpProtocols.Tcp => TcpHeader.MinLength + (question.Mss is null ? 0 : 4),
            IpProtocols.Udp => UdpHeader.HeaderLength,
            _ when _protocol == echo => Icmpv4Header.Length,
            _ => 0,
        };
        _length = question.Length ?? _ipHeader + _header + (question.Mss is null ? DefaultPayload : 0);
        if (_length < _ipHeader + _header || _length > MaxPacket)
            throw new QuestionRefusedException($"no packet of that protocol has {_length} bytes; give a length from {_ipHeader + _header} to {MaxPacket}");
        if (question.Mss is < 0 or > ushort.MaxValue) throw new QuestionRefusedException("an MSS is a number from 0 to 65535");
        if (question.SegmentSize is < 1 or > ushort.MaxValue) throw new QuestionRefusedException("a segment has 1 to 65535 bytes of payload");
    }

    private bool HasPorts => _protocol is IpProtocols.Tcp or IpProtocols.Udp;

    private int Transport => EthernetFrame.MinHeaderLength + _ipHeader;

    /// <returns>The frame, and what the device says of it.</returns>
    public (byte[] Frame, VirtioNetHeader Offload) Compose(MacAddress destination, MacAddress source)
    {
        byte[] frame = new byte[EthernetFrame.MinHeaderLength + _length];
        EthernetFrame.WriteHeader(frame, destination, source, _isIpv4 ? EtherTypes.Ipv4 : EtherTypes.Ipv6);
        WriteNetwork(frame.AsSpan(EthernetFrame.MinHeaderLength));
        Span<byte> message = frame.AsSpan(Transport);
        if (HasPorts) return (frame, WriteTransport(message));
        if (_header == 0) return (frame, default);
        if (_isIpv4) Icmpv4Header.Write(message, Icmpv4Types.EchoRequest, 0, 1);
        else Icmpv6Header.Write(message, _from, _to, Icmpv6Types.EchoRequest, 0, 1);
        return (frame, default);
    }

    private void WriteNetwork(Span<byte> packet)
    {
        byte hops = _question.TimeToLive ?? DefaultHops;
        if (_isIpv4)
        {
            Ipv4Packet.WriteHeader(packet, new Ipv4Fields
            {
                TrafficClass = _question.TrafficClass,
                TotalLength = _length,
                Identification = 1,
                DontFragment = _question.DontFragment,
                TimeToLive = hops,
                Protocol = _protocol,
                Source = (uint)_from,
                Destination = (uint)_to,
            });
            return;
        }
        Ipv6Packet.WriteHeader(packet, new Ipv6Fields
        {
            TrafficClass = _question.TrafficClass,
            PayloadLength = _length - Ipv6Packet.HeaderLength,
            NextHeader = _protocol,
            HopLimit = hops,
            Source = _from,
            Destination = _to,
        });
    }

    private VirtioNetHeader WriteTransport(Span<byte> message)
    {
        bool isTcp = _protocol == IpProtocols.Tcp;
        ushort source = _question.SourcePort ?? DefaultSourcePort;
        ushort destination = _question.DestinationPort ?? DefaultDestinationPort;
        if (!isTcp)
        {
            UdpHeader.Write(message, source, destination, message.Length);
        }
        else
        {
            Span<byte> option = [TcpOptionReader.MaximumSegmentSize, 4, 0, 0];
            if (_question.Mss is { } mss) BinaryPrimitives.WriteUInt16BigEndian(option[2..], (ushort)mss);
            var fields = new TcpFields { SourcePort = source, DestinationPort = destination, Flags = _question.Mss is null ? TcpFlags.Ack : TcpFlags.Syn, Window = 64_240 };
            TcpHeader.Write(message, fields, _question.Mss is null ? [] : option);
        }
        ulong pseudoHeader = _isIpv4
            ? InternetChecksum.PseudoHeaderV4((uint)_from, (uint)_to, _protocol, message.Length)
            : InternetChecksum.PseudoHeaderV6(_from, _to, _protocol, message.Length);
        int checksum = isTcp ? TcpHeader.ChecksumOffset : UdpHeader.ChecksumOffset;
        InternetChecksum.Store(message[checksum..], InternetChecksum.Fold(pseudoHeader));
        bool isSuper = _question.SegmentSize is { } size && size < message.Length - _header;
        return new VirtioNetHeader
        {
            Flags = VirtioNetFlags.NeedsChecksum,
            GsoType = !isSuper ? VirtioGsoType.None : !isTcp ? VirtioGsoType.Udp : _isIpv4 ? VirtioGsoType.Tcp4 : VirtioGsoType.Tcp6,
            HeaderLength = (ushort)(Transport + _header),
            SegmentSize = (ushort)(isSuper ? _question.SegmentSize!.Value : 0),
            ChecksumStart = (ushort)Transport,
            ChecksumOffset = (ushort)checksum,
        };
    }
}
