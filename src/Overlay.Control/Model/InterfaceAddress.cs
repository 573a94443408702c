using System.Net;
using System.Net.Sockets;
using Overlay.Wire;

namespace Overlay.Control.Model;

/// <summary>An address on a device, with the length of the prefix that is on the link.</summary>
public readonly record struct InterfaceAddress(IPAddress Address, int PrefixLength)
{
    public bool IsIPv6 => Address.AddressFamily == AddressFamily.InterNetworkV6;

    /// <summary>The prefix on the link: the address with its host bits cleared.</summary>
    public IPNetwork Network
    {
        get
        {
            int hostBits = (IsIPv6 ? 128 : 32) - PrefixLength;
            UInt128 bits = IpBits.V6OrMapped(Address);
            UInt128 network = hostBits == 128 ? 0 : bits >> hostBits << hostBits;
            return new IPNetwork(IpBits.ToAddress(network), PrefixLength);
        }
    }

    public override string ToString() => $"{Address}/{PrefixLength}";
}
