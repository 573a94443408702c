using System.Net;

namespace Overlay.SystemTests.Traffic;

/// <summary>Headers written by hand from the RFCs, so that tests of ours do not lean on code of ours.</summary>
internal static class PlainBytes
{
    public static byte[] Word(int value) => [(byte)(value >> 8), (byte)value];

    public static byte[] Mac(string text) => Convert.FromHexString(text.Replace(":", "", StringComparison.Ordinal));

    /// <summary>RFC 791. The length fields are right unless others are given; options have a multiple of 4 bytes.</summary>
    public static byte[] Ipv4(
        string source, string destination, byte protocol, byte[] payload, int trafficClass = 0, int? length = null, int identification = 0,
        int fragment = 0, int? first = null, byte timeToLive = 64, byte[]? options = null)
    {
        int size = 20 + (options?.Length ?? 0);
        byte[] header =
        [
            (byte)(first ?? (0x40 | (size / 4))), (byte)trafficClass, .. Word(length ?? (size + payload.Length)), .. Word(identification), .. Word(fragment),
            timeToLive, protocol, 0, 0, .. IPAddress.Parse(source).GetAddressBytes(), .. IPAddress.Parse(destination).GetAddressBytes(), .. options ?? [],
        ];
        Word(Checksum(header)).CopyTo(header, 10);
        return [.. header, .. payload];
    }

    /// <summary>RFC 8200, the fixed header.</summary>
    public static byte[] Ipv6(string source, string destination, byte next, byte[] payload, int trafficClass = 0, int? length = null, byte hopLimit = 64) =>
    [
        (byte)(0x60 | (trafficClass >> 4)), (byte)(trafficClass << 4), 0, 0, .. Word(length ?? payload.Length), next, hopLimit,
        .. IPAddress.Parse(source).GetAddressBytes(), .. IPAddress.Parse(destination).GetAddressBytes(), .. payload,
    ];

    /// <summary>RFC 768 with a checksum over the pseudo-header of either family.</summary>
    public static byte[] Udp(string source, string destination, int sourcePort, int destinationPort, byte[] payload, int? length = null)
    {
        byte[] datagram = [.. Word(sourcePort), .. Word(destinationPort), .. Word(length ?? (8 + payload.Length)), 0, 0, .. payload];
        byte[] pseudo =
        [
            .. IPAddress.Parse(source).GetAddressBytes(), .. IPAddress.Parse(destination).GetAddressBytes(), 0, 17, .. Word(8 + payload.Length),
        ];
        int checksum = Checksum([.. pseudo, .. datagram]);
        Word(checksum == 0 ? 0xffff : checksum).CopyTo(datagram, 6);
        return datagram;
    }

    /// <summary>RFC 1071.</summary>
    public static int Checksum(byte[] bytes)
    {
        uint sum = 0;
        for (int i = 0; i < bytes.Length; i += 2) sum += (uint)(bytes[i] << 8 | (i + 1 < bytes.Length ? bytes[i + 1] : 0));
        while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
        return (int)(~sum & 0xffff);
    }
}
