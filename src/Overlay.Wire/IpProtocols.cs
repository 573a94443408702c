namespace Overlay.Wire;

/// <summary>Assigned Internet protocol numbers: IPv4 Protocol, IPv6 Next Header.</summary>
public static class IpProtocols
{
    public const byte HopByHop = 0;
    public const byte Icmpv4 = 1;
    public const byte Ipv4InIp = 4;
    public const byte Tcp = 6;
    public const byte Udp = 17;
    public const byte Ipv6InIp = 41;
    public const byte Routing = 43;
    public const byte Fragment = 44;
    public const byte EncapsulatingSecurity = 50;
    public const byte AuthenticationHeader = 51;
    public const byte Icmpv6 = 58;
    public const byte NoNextHeader = 59;
    public const byte DestinationOptions = 60;

    /// <summary>Experiments and tests (RFC 3692, 2.1).</summary>
    public const byte Experimental = 253;
}
