namespace Overlay.Wire;

/// <summary>The ARP opcode (RFC 826).</summary>
public enum ArpOperation : ushort
{
    None = 0,
    Request = 1,
    Reply = 2,
}
