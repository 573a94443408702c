namespace Overlay.Wire.Decoding;

/// <summary>Encapsulations that <see cref="FrameDecoder"/> tells apart.</summary>
public enum TunnelKind
{
    /// <summary>No tunnel header, or none that this frame holds.</summary>
    None,

    /// <summary>RFC 7348.</summary>
    Vxlan,

    /// <summary>draft-ietf-nvo3-vxlan-gpe.</summary>
    VxlanGpe,

    /// <summary>RFC 8926.</summary>
    Geneve,

    /// <summary>IPv4 in IPv4, RFC 2003.</summary>
    Ipv4InIpv4,

    /// <summary>IPv6 in IPv4, RFC 4213.</summary>
    Ipv6InIpv4,

    /// <summary>IPv4 in IPv6, RFC 2473.</summary>
    Ipv4InIpv6,

    /// <summary>IPv6 in IPv6, RFC 2473.</summary>
    Ipv6InIpv6,
}
