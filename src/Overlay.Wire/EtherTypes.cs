namespace Overlay.Wire;

/// <summary>EtherType values (IEEE 802 numbers, IANA).</summary>
public static class EtherTypes
{
    public const ushort Ipv4 = 0x0800;
    public const ushort Arp = 0x0806;

    /// <summary>Customer VLAN tag, IEEE 802.1Q.</summary>
    public const ushort Vlan = 0x8100;
    public const ushort Ipv6 = 0x86dd;

    /// <summary>Trans-Ether bridging: a whole Ethernet frame (RFC 8926, 3.4).</summary>
    public const ushort TransparentEthernet = 0x6558;

    /// <summary>Local experiments (IEEE 802, 9.2.3): never registered for anything else.</summary>
    public const ushort LocalExperimental = 0x88b5;

    /// <summary>Service VLAN tag, IEEE 802.1ad.</summary>
    public const ushort ProviderVlan = 0x88a8;
}
