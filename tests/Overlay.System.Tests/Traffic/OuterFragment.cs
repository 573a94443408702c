namespace Overlay.SystemTests.Traffic;

/// <summary>Frames that hold the fragments of an outer packet (RFC 791, 3.2; RFC 8200, 4.5).</summary>
internal static class OuterFragment
{
    private const int Cut = 24;

    /// <summary>Two fragments: whole in either order they are one packet again, else nothing. Four cases in turn.</summary>
    /// <param name="ethernet">The two addresses.</param>
    /// <param name="protocol">Of the packet in fragments.</param>
    /// <param name="payload">Of that packet.</param>
    /// <param name="inner">What must come out of it.</param>
    public static HostileFrame InTurn(
        byte[] ethernet, string source, string target, byte protocol, byte[] payload, byte[] inner, int identification, int turn)
    {
        byte[] first = Frame(ethernet, source, target, protocol, payload[..Cut], 0, more: true, identification);
        byte[] second = Frame(ethernet, source, target, protocol, payload[Cut..], Cut, more: false, identification);
        return (turn % 4) switch
        {
            0 => new([first, second], inner, null),
            1 => new([second, first], inner, null),
            2 => new([first], null, null, IsIncomplete: true),
            _ => new([second], null, null, IsIncomplete: true),
        };
    }

    private static byte[] Frame(byte[] ethernet, string source, string target, byte protocol, byte[] part, int offset, bool more, int identification)
    {
        if (!source.Contains(':'))
            return [.. ethernet, 8, 0, .. PlainBytes.Ipv4(
                source, target, protocol, part, identification: identification, fragment: (offset / 8) | (more ? 0x2000 : 0))];
        byte[] extension = [protocol, 0, .. PlainBytes.Word(offset | (more ? 1 : 0)), 0, 0, .. PlainBytes.Word(identification)];
        return [.. ethernet, 0x86, 0xdd, .. PlainBytes.Ipv6(source, target, 44, [.. extension, .. part])];
    }
}
