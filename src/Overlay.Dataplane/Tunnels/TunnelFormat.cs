using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>How the packets of a segment are wrapped when they are sent, and which options are known when they are received.</summary>
public sealed class TunnelFormat
{
    /// <summary>VXLAN without extensions; inner VLAN tags are stripped and not accepted (RFC 7348, 6.1).</summary>
    public static TunnelFormat Vxlan { get; } = new();

    public Encapsulation Encapsulation { get; init; }

    /// <summary>IP packets are sent without an inner Ethernet header: by choice in Geneve, always in IP-in-IP, never in VXLAN.</summary>
    public bool IsBareIp
    {
        get => field || IsIpInIp;
        init;
    }

    /// <summary>The packet follows the outer IP header at once.</summary>
    public bool IsIpInIp => Encapsulation == Encapsulation.IpInIp;

    /// <summary>
    /// IP-in-IP over IPv6 only: how many further tunnels may enclose a packet (RFC 2473, 4.1.1), written in an option of 8 bytes; null: sent
    /// only for packets that bring a limit of their own.
    /// </summary>
    public byte? EncapsulationLimit { get; init; }

    /// <summary>
    /// Geneve only: options as they are on the wire, written by <see cref="GeneveOption.Write"/>; at most
    /// <see cref="GeneveHeader.MaxOptionsLength"/> bytes. Critical options of the same class and type are known when received.
    /// </summary>
    public byte[] GeneveOptions { get; init; } = [];

    /// <summary>VXLAN only: group policy ID (draft-smith-vxlan-group-policy, 2.1); null: the extension is not used.</summary>
    public ushort? GroupPolicy { get; init; }

    /// <summary>
    /// VXLAN in routed segments only: each packet has a group policy of its own, which the host sees and sets as the packet's mark: see
    /// <see cref="MarkedSource"/>. Not with <see cref="GroupPolicy"/>.
    /// </summary>
    public bool MarksGroupPolicy { get; init; }

    /// <summary>The flags of a received group policy are obeyed.</summary>
    public bool UsesGroupPolicy => GroupPolicy is not null || MarksGroupPolicy;

    /// <summary>Inner VLAN tags are sent and accepted. Not with <see cref="IsBareIp"/>.</summary>
    public bool KeepsVlanTags { get; init; }

    /// <summary>Bytes of the tunnel header with its options.</summary>
    public int HeaderLength => Encapsulation switch
    {
        Encapsulation.Vxlan => VxlanHeader.Length,
        Encapsulation.Geneve => GeneveHeader.FixedLength + GeneveOptions.Length,
        _ => 0,
    };

    /// <summary>Bytes that the underlay puts in front of the tunnel header.</summary>
    /// <param name="overIpv6">Outer family.</param>
    public int OuterLength(bool overIpv6)
    {
        int ip = overIpv6 ? Ipv6Packet.HeaderLength : Ipv4Packet.MinHeaderLength;
        if (!IsIpInIp) return ip + UdpHeader.HeaderLength;
        return overIpv6 && EncapsulationLimit is not null ? ip + TunnelEncapsulationLimit.HeaderLength : ip;
    }

    /// <summary>Bytes from the tunnel header to an untagged IP packet.</summary>
    public int PrefixLength => IsBareIp ? HeaderLength : HeaderLength + EthernetFrame.MinHeaderLength;

    /// <summary>Bytes that precede an IP packet at most, VLAN tags included.</summary>
    public int MaxPrefixLength => PrefixLength + (KeepsVlanTags ? EthernetFrame.MaxVlanTags * VlanTag.Length : 0);

    /// <summary>
    /// True where the kernel can segment a super-packet behind this header: it expects an untagged Ethernet header inside the tunnel.
    /// </summary>
    public bool KernelSegments => !IsBareIp && !KeepsVlanTags;

    /// <summary>
    /// What all packets to one peer begin with, but for their EtherType: the tunnel header, and where there is an inner Ethernet header its
    /// two addresses.
    /// </summary>
    /// <param name="vni">24 bits.</param>
    /// <param name="destination">Inner destination.</param>
    /// <param name="source">Inner source.</param>
    public byte[] Template(uint vni, MacAddress destination, MacAddress source)
    {
        if (IsIpInIp) return [];
        byte[] template = new byte[HeaderLength + (IsBareIp ? 0 : 2 * MacAddress.Length)];
        if (Encapsulation == Encapsulation.Geneve) GeneveHeader.Write(template, vni, EtherTypes.TransparentEthernet, GeneveOptions);
        else if (GroupPolicy is { } policy) VxlanHeader.Write(template, vni, policy);
        else VxlanHeader.Write(template, vni);
        if (IsBareIp) return template;
        destination.CopyTo(template.AsSpan(HeaderLength));
        source.CopyTo(template.AsSpan(HeaderLength + MacAddress.Length));
        return template;
    }
}
