namespace Overlay.Wire.Decoding;

/// <summary>Reads the tunnel header of a UDP datagram.</summary>
internal static class TunnelHeaders
{
    /// <param name="datagram">What was captured of the UDP payload.</param>
    /// <param name="length">Bytes of the UDP payload, null when the lengths contradict each other.</param>
    /// <param name="decoded">Its tunnel is known; gets the rest.</param>
    public static void Read(ReadOnlySpan<byte> datagram, long? length, DecodedFrame decoded)
    {
        switch (decoded.Tunnel)
        {
            case TunnelKind.Vxlan:
                ReadVxlan(datagram, length, decoded);
                break;
            case TunnelKind.VxlanGpe:
                ReadVxlanGpe(datagram, length, decoded);
                break;
            case TunnelKind.Geneve:
                ReadGeneve(datagram, length, decoded);
                break;
        }
    }

    private static void ReadVxlan(ReadOnlySpan<byte> datagram, long? length, DecodedFrame decoded)
    {
        decoded.InnerLength = Behind(VxlanHeader.Length, length);
        if (VxlanHeader.TryParse(datagram, out VxlanHeader header) != WireStatus.Ok)
        {
            decoded.Fail(Incomplete("VXLAN", datagram, VxlanHeader.Length));
            return;
        }
        decoded.Vni = header.Vni;
        decoded.VxlanFlags = header.Flags;
        if (header.HasGroupPolicy) decoded.GroupPolicyId = header.GroupPolicyId;
        InnerHeaders.Read(EtherTypes.TransparentEthernet, header.Payload, decoded);
    }

    private static void ReadVxlanGpe(ReadOnlySpan<byte> datagram, long? length, DecodedFrame decoded)
    {
        decoded.InnerLength = Behind(VxlanGpeHeader.Length, length);
        if (VxlanGpeHeader.TryParse(datagram, out VxlanGpeHeader header) != WireStatus.Ok)
        {
            decoded.Fail(Incomplete("VXLAN-GPE", datagram, VxlanGpeHeader.Length));
            return;
        }
        decoded.Vni = header.Vni;
        decoded.VxlanFlags = header.Flags;
        InnerHeaders.Read(header.ProtocolType, header.Payload, decoded);
    }

    private static void ReadGeneve(ReadOnlySpan<byte> datagram, long? length, DecodedFrame decoded)
    {
        int version = datagram.IsEmpty ? 0 : datagram[0] >> 6;
        int optionsLength = datagram.IsEmpty ? 0 : GeneveHeader.OptionsLength(datagram[0]);
        int headerLength = GeneveHeader.FixedLength + optionsLength;
        if (!datagram.IsEmpty && version == 0) decoded.InnerLength = Behind(headerLength, length);
        switch (GeneveHeader.TryParseFixed(datagram, out GeneveHeader header))
        {
            case WireStatus.Ok:
                break;
            case WireStatus.BadVersion:
                decoded.Fail($"Geneve version {version} is not 0");
                return;
            default:
                decoded.Fail(Incomplete("Geneve", datagram, GeneveHeader.FixedLength));
                return;
        }
        decoded.Vni = header.Vni;
        decoded.InnerProtocol = header.ProtocolType;
        decoded.IsOam = header.IsControl;
        decoded.HasCriticalOptions = header.HasCriticalOptions;
        if (headerLength > length)
            decoded.Fail($"Geneve options of {optionsLength} bytes are past the datagram of {length}");
        else if (headerLength > datagram.Length)
            decoded.Fail(Incomplete("Geneve", datagram, headerLength));
        ReadOptions(datagram[GeneveHeader.FixedLength..Math.Min(headerLength, datagram.Length)], decoded);
        if (datagram.Length > headerLength) InnerHeaders.Read(header.ProtocolType, datagram[headerLength..], decoded);
    }

    private static void ReadOptions(ReadOnlySpan<byte> bytes, DecodedFrame decoded)
    {
        var options = new List<DecodedOption>();
        decoded.Options = options;
        while (GeneveOption.TryParse(bytes, out GeneveOption option) == WireStatus.Ok)
        {
            options.Add(new DecodedOption(option.Class, option.Type, option.Data.ToArray()));
            bytes = bytes[option.Length..];
        }
        if (!bytes.IsEmpty) decoded.Fail($"Geneve options do not add up to their length: {bytes.Length} bytes over");
    }

    private static long? Behind(int headerLength, long? length) => length >= headerLength ? length - headerLength : null;

    private static string Incomplete(string header, ReadOnlySpan<byte> bytes, int length) =>
        $"{header} header incomplete: {bytes.Length} of {length} bytes";
}
