namespace Overlay.Dataplane.Tests.Egress;

/// <summary>
/// Segments a super-packet the slow and obvious way, octet by octet, with nothing of the product: what a sender without offloads would have
/// put on the wire.
/// </summary>
internal static class NaiveSegmenter
{
    /// <param name="frame">An untagged Ethernet frame with a super-packet; its transport checksum is not looked at.</param>
    public static List<byte[]> Segment(byte[] frame, int transport, bool isUdp, int size)
    {
        bool isIpv4 = frame[12] == 0x08;
        int headers = transport + (isUdp ? 8 : (frame[transport + 12] >> 4) * 4);
        var segments = new List<byte[]>();
        for (int offset = 0; offset < frame.Length - headers || segments.Count == 0; offset += size)
        {
            int length = Math.Min(size, frame.Length - headers - offset);
            bool isLast = offset + length == frame.Length - headers;
            byte[] packet = [.. frame[..headers], .. frame[(headers + offset)..(headers + offset + length)]];
            if (isIpv4)
            {
                Put16(packet, 16, packet.Length - 14);
                Put16(packet, 18, Get16(frame, 18) + segments.Count);
                Put16(packet, 24, 0);
                Put16(packet, 24, ~Sum(packet[14..transport]) & 0xffff);
            }
            else
            {
                Put16(packet, 18, packet.Length - 54);
            }
            if (isUdp) FinishUdp(packet, transport, isIpv4);
            else FinishTcp(packet, transport, isIpv4, offset, segments.Count == 0, isLast);
            segments.Add(packet);
        }
        return segments;
    }

    private static void FinishTcp(byte[] packet, int transport, bool isIpv4, int offset, bool isFirst, bool isLast)
    {
        uint sequence = (uint)(Get16(packet, transport + 4) << 16 | Get16(packet, transport + 6)) + (uint)offset;
        Put16(packet, transport + 4, (int)(sequence >> 16));
        Put16(packet, transport + 6, (int)sequence);
        if (!isLast) packet[transport + 13] &= 0xf6;
        if (!isFirst) packet[transport + 13] &= 0x7f;
        Put16(packet, transport + 16, 0);
        Put16(packet, transport + 16, ~Sum(PseudoHeader(packet, transport, isIpv4, 6)) & 0xffff);
    }

    private static void FinishUdp(byte[] packet, int transport, bool isIpv4)
    {
        Put16(packet, transport + 4, packet.Length - transport);
        Put16(packet, transport + 6, 0);
        int checksum = ~Sum(PseudoHeader(packet, transport, isIpv4, 17)) & 0xffff;
        Put16(packet, transport + 6, checksum == 0 ? 0xffff : checksum);
    }

    private static byte[] PseudoHeader(byte[] packet, int transport, bool isIpv4, byte protocol)
    {
        byte[] addresses = isIpv4 ? packet[26..34] : packet[22..54];
        int length = packet.Length - transport;
        return [.. addresses, 0, protocol, (byte)(length >> 8), (byte)length, .. packet[transport..]];
    }

    private static int Sum(byte[] bytes)
    {
        long sum = 0;
        for (int i = 0; i < bytes.Length; i++) sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
        while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
        return (int)sum;
    }

    private static int Get16(byte[] bytes, int at) => bytes[at] << 8 | bytes[at + 1];

    private static void Put16(byte[] bytes, int at, int value)
    {
        bytes[at] = (byte)(value >> 8);
        bytes[at + 1] = (byte)value;
    }
}
