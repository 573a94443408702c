using System.Buffers.Binary;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>
/// An inner frame by its fields, built octet by octet from the RFCs with a textbook checksum, so that the tests share no code with what
/// they test.
/// </summary>
internal sealed record PlainPacket
{
    public static readonly byte[] DeviceMac = [0x02, 0, 0, 0, 0, 0x0b];
    public static readonly byte[] PeerMac = [0x02, 0, 0, 0, 0, 0x0a];

    public byte[] DestinationMac { get; init; } = DeviceMac;
    public bool V6 { get; init; }
    public bool Udp { get; init; }
    public byte Host { get; init; } = 1;
    public ushort SourcePort { get; init; } = 40_000;
    public ushort DestinationPort { get; init; } = 5201;
    public uint Sequence { get; init; } = 0xffff_ff00;
    public uint Acknowledgment { get; init; } = 77;
    public byte Flags { get; init; } = 0x10;
    public ushort Window { get; init; } = 502;
    public byte[] TcpOptions { get; init; } = [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4];
    public byte TimeToLive { get; init; } = 64;
    public byte TrafficClass { get; init; }
    public bool DontFragment { get; init; } = true;
    public ushort Identification { get; init; } = 100;
    public int FragmentOffset { get; init; }
    public bool MoreFragments { get; init; }
    public byte[] IpOptions { get; init; } = [];
    public byte[] Payload { get; init; } = [];
    public bool NoChecksum { get; init; }

    public int NetworkHeaderLength => V6 ? 40 + IpOptions.Length : 20 + IpOptions.Length;

    public int TransportOffset => 14 + NetworkHeaderLength;

    public int HeadersLength => TransportOffset + (Udp ? 8 : 20 + TcpOptions.Length);

    /// <summary>The next packet of the same flow.</summary>
    public PlainPacket Next(byte[] payload) => this with
    {
        Sequence = Sequence + (uint)Payload.Length,
        Identification = (ushort)(Identification + 1),
        Payload = payload,
    };

    public byte[] Build()
    {
        byte[] frame = new byte[HeadersLength + Payload.Length];
        DestinationMac.CopyTo(frame, 0);
        PeerMac.CopyTo(frame, 6);
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(12), V6 ? (ushort)0x86dd : (ushort)0x0800);
        Payload.CopyTo(frame, HeadersLength);
        Span<byte> ip = frame.AsSpan(14);
        byte protocol = Udp ? (byte)17 : (byte)6;
        if (V6)
        {
            ip[0] = (byte)(0x60 | TrafficClass >> 4);
            ip[1] = (byte)(TrafficClass << 4);
            BinaryPrimitives.WriteUInt16BigEndian(ip[4..], (ushort)(ip.Length - 40));
            ip[6] = IpOptions.Length > 0 ? (byte)60 : protocol;
            ip[7] = TimeToLive;
            ip[8] = ip[24] = 0xfd;
            ip[23] = Host;
            ip[39] = 200;
            IpOptions.CopyTo(ip[40..]);
            if (IpOptions.Length > 0) ip[40] = protocol;
        }
        else
        {
            ip[0] = (byte)(0x40 | (NetworkHeaderLength / 4));
            ip[1] = TrafficClass;
            BinaryPrimitives.WriteUInt16BigEndian(ip[2..], (ushort)ip.Length);
            BinaryPrimitives.WriteUInt16BigEndian(ip[4..], Identification);
            int fragment = (FragmentOffset / 8) | (DontFragment ? 0x4000 : 0) | (MoreFragments ? 0x2000 : 0);
            BinaryPrimitives.WriteUInt16BigEndian(ip[6..], (ushort)fragment);
            ip[8] = TimeToLive;
            ip[9] = protocol;
            ip[12] = ip[16] = 10;
            ip[15] = Host;
            ip[19] = 200;
            IpOptions.CopyTo(ip[20..]);
            BinaryPrimitives.WriteUInt16BigEndian(ip[10..], (ushort)~Sum(ip[..NetworkHeaderLength]));
        }
        Span<byte> transport = frame.AsSpan(TransportOffset);
        BinaryPrimitives.WriteUInt16BigEndian(transport, SourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(transport[2..], DestinationPort);
        if (Udp)
        {
            BinaryPrimitives.WriteUInt16BigEndian(transport[4..], (ushort)transport.Length);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(transport[4..], Sequence);
            BinaryPrimitives.WriteUInt32BigEndian(transport[8..], Acknowledgment);
            transport[12] = (byte)((20 + TcpOptions.Length) / 4 << 4);
            transport[13] = Flags;
            BinaryPrimitives.WriteUInt16BigEndian(transport[14..], Window);
            TcpOptions.CopyTo(transport[20..]);
        }
        if (!NoChecksum) FinishTransport(frame, TransportOffset);
        return frame;
    }

    /// <summary>The frame as a kernel leaves it that counts on a NIC: with the folded pseudo-header sum for a checksum.</summary>
    public byte[] BuildUnfinished()
    {
        byte[] frame = Build();
        int field = TransportOffset + (Udp ? 6 : 16);
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(field), PseudoHeader(frame, TransportOffset, Udp));
        return frame;
    }

    /// <summary>Computes the TCP or UDP checksum of a frame whose IPv6 header, if it has one, ends right before the transport header.</summary>
    public static void FinishTransport(byte[] frame, int transportOffset)
    {
        bool udp = frame[12] == 0x08 ? frame[23] == 17 : frame[20] == 17 || (frame[20] == 60 && frame[54] == 17);
        int field = transportOffset + (udp ? 6 : 16);
        frame[field] = frame[field + 1] = 0;
        ushort sum = (ushort)~Sum(frame.AsSpan(transportOffset), PseudoHeader(frame, transportOffset, udp));
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(field), udp && sum == 0 ? ushort.MaxValue : sum);
    }

    public static ushort PseudoHeader(byte[] frame, int transportOffset, bool udp)
    {
        ReadOnlySpan<byte> addresses = frame[12] == 0x08 ? frame.AsSpan(26, 8) : frame.AsSpan(22, 32);
        return Sum(addresses, (udp ? 17u : 6u) + (uint)(frame.Length - transportOffset));
    }

    /// <summary>RFC 1071, the way it is explained: 16-bit words, carries added back.</summary>
    public static ushort Sum(ReadOnlySpan<byte> bytes, uint start = 0)
    {
        uint sum = start;
        for (int i = 0; i < bytes.Length; i += 2)
        {
            sum += (uint)(bytes[i] << 8 | (i + 1 < bytes.Length ? bytes[i + 1] : 0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        return (ushort)((sum & 0xffff) + (sum >> 16));
    }
}
