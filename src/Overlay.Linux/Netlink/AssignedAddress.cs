using System.Net;

namespace Overlay.Linux.Netlink;

/// <summary>
/// An address assigned to an interface. An IPv6 address is usable at once: it is added without duplicate address detection.
/// </summary>
/// <param name="InterfaceIndex">The interface.</param>
/// <param name="Address">The address itself.</param>
/// <param name="PrefixLength">Length of its on-link prefix.</param>
public sealed record AssignedAddress(int InterfaceIndex, IPAddress Address, int PrefixLength)
{
    /// <summary>Where it is valid; what is added has global scope.</summary>
    public AddressScope Scope { get; init; }
}

/// <summary>RT_SCOPE_*.</summary>
public enum AddressScope : byte
{
    Global = 0,
    Site = 200,
    Link = 253,
    Host = 254,
}
