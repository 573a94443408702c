namespace Overlay.SystemTests.Traffic;

/// <summary>A frame that holds a fragment of an outer packet (RFC 791, 3.2; RFC 8200, 4.5).</summary>
internal static class OuterFragment
{
    /// <param name="ethernet">The two addresses.</param>
    /// <param name="protocol">Of the packet in fragments.</param>
    /// <param name="part">What follows the outer header at <paramref name="offset"/>, a multiple of 8.</param>
    public static byte[] Frame(byte[] ethernet, string source, string target, byte protocol, byte[] part, int offset, bool more, int identification)
    {
        if (!source.Contains(':'))
            return [.. ethernet, 8, 0, .. PlainBytes.Ipv4(
                source, target, protocol, part, identification: identification, fragment: (offset / 8) | (more ? 0x2000 : 0))];
        byte[] extension = [protocol, 0, .. PlainBytes.Word(offset | (more ? 1 : 0)), 0, 0, .. PlainBytes.Word(identification)];
        return [.. ethernet, 0x86, 0xdd, .. PlainBytes.Ipv6(source, target, 44, [.. extension, .. part])];
    }
}
