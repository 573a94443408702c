namespace Overlay.Dataplane.Tunnels;

/// <summary>What the ingress path needs of a tunnel header that was received.</summary>
internal struct TunnelHeader
{
    public uint Vni;

    /// <summary>VXLAN: <see cref="Wire.VxlanHeader.GroupPolicy"/>.</summary>
    public uint GroupPolicy;

    /// <summary>EtherType of a bare IP packet; 0 where an Ethernet frame follows.</summary>
    public ushort BareEtherType;

    /// <summary>
    /// Where the inner frame starts in the datagram. Of a bare IP packet, where it would start: the bytes of the Ethernet header are not its
    /// own, and may lie in front of the datagram.
    /// </summary>
    public int FrameStart;

    /// <summary>Equal for datagrams of one segment that carry the same kind of frame.</summary>
    public readonly ulong Key => (ulong)BareEtherType << 32 | Vni;
}
