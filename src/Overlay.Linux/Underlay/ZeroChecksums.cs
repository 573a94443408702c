namespace Overlay.Linux.Underlay;

/// <summary>Where the outer UDP checksum may be zero, which means that there is none.</summary>
[Flags]
public enum ZeroChecksums : byte
{
    None = 0,

    /// <summary>Datagrams over IPv4 leave without one (RFC 768). They leave one at a time: the kernel segments none such.</summary>
    SendIpv4 = 1,

    /// <summary>Datagrams over IPv6 leave without one (RFC 6935), and also one at a time.</summary>
    SendIpv6 = 2,

    /// <summary>Datagrams over IPv6 without one are accepted (RFC 6935). Over IPv4 they always are.</summary>
    ReceiveIpv6 = 4,
}
