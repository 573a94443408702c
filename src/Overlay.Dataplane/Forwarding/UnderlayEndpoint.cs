using System.Net;
using Overlay.Wire;

namespace Overlay.Dataplane.Forwarding;

/// <summary>A tunnel's endpoint on the underlay.</summary>
/// <param name="Address">Host-order bits; an IPv4 address is IPv4-mapped.</param>
/// <param name="Port">UDP port, host order; 0 of IP-in-IP, which has none.</param>
public readonly record struct UnderlayEndpoint(UInt128 Address, ushort Port)
{
    public bool IsIPv4 => IpBits.IsMapped(Address);

    public override string ToString() => Port == 0 ? IpBits.ToAddress(Address).ToString() : new IPEndPoint(IpBits.ToAddress(Address), Port).ToString();
}
