using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Overlay.Wire.Decoding;

/// <summary>
/// IP addresses as RFC 5952 and inet_ntop write them. <see cref="IPAddress.ToString()"/> differs: it ends ISATAP and translated addresses
/// with a dotted quad, though no prefix tells that one is inside.
/// </summary>
public static class AddressText
{
    private const int Groups = 8;

    /// <returns>Lower case, the first longest run of two or more zero groups as "::"; without the scope.</returns>
    public static string Format(IPAddress address)
    {
        if (address.AddressFamily != AddressFamily.InterNetworkV6) return address.ToString();
        byte[] bytes = address.GetAddressBytes();
        (int start, int length) = LongestZeros(bytes);
        bool isMapped = start == 0 && length == 5 && Group(bytes, 5) == 0xffff;
        bool isCompatible = start == 0 && length == 6;
        var text = new StringBuilder();
        for (int group = 0; group < Groups; group++)
        {
            if (group == start && length > 1)
            {
                text.Append("::");
                group += length - 1;
                continue;
            }
            if (text.Length > 0 && text[^1] != ':') text.Append(':');
            if (group == 6 && (isMapped || isCompatible)) return text.Append(new IPAddress(bytes.AsSpan(12))).ToString();
            text.Append(CultureInfo.InvariantCulture, $"{Group(bytes, group):x}");
        }
        return text.ToString();
    }

    private static (int Start, int Length) LongestZeros(byte[] bytes)
    {
        (int Start, int Length) longest = default;
        int run = 0;
        for (int group = 0; group < Groups; group++)
        {
            run = Group(bytes, group) == 0 ? run + 1 : 0;
            if (run > longest.Length) longest = (group - run + 1, run);
        }
        return longest;
    }

    private static ushort Group(byte[] bytes, int index) => BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(index * 2));
}
