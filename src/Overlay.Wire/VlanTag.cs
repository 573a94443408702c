namespace Overlay.Wire;

/// <summary>A VLAN tag (IEEE 802.1Q, 9.3): four bytes between the source address and the EtherType.</summary>
/// <param name="Protocol">Tag protocol identifier: <see cref="EtherTypes.Vlan"/> or <see cref="EtherTypes.ProviderVlan"/>.</param>
/// <param name="Control">Tag control information: priority (3 bits), drop eligible (1), VLAN identifier (12).</param>
public readonly record struct VlanTag(ushort Protocol, ushort Control)
{
    /// <summary>Bytes of a tag in a frame.</summary>
    public const int Length = 4;

    public byte Priority => (byte)(Control >> 13);

    public bool IsDropEligible => (Control & 0x1000) != 0;

    /// <summary>VLAN identifier, 12 bits.</summary>
    public ushort Identifier => (ushort)(Control & 0x0fff);
}
