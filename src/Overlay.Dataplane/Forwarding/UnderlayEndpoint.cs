using System.Net;
using Overlay.Wire;

namespace Overlay.Dataplane.Forwarding;

/// <summary>A UDP endpoint on the underlay.</summary>
/// <param name="Address">Host-order bits; an IPv4 address is IPv4-mapped.</param>
/// <param name="Port">UDP port, host order.</param>
public readonly record struct UnderlayEndpoint(UInt128 Address, ushort Port)
{
    public bool IsIPv4 => IpBits.IsMapped(Address);

    public override string ToString() => new IPEndPoint(IpBits.ToAddress(Address), Port).ToString();
}
