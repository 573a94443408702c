using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>What an ICMP error says, in both families.</summary>
/// <param name="TypeV4">See <see cref="Icmpv4Types"/>.</param>
/// <param name="CodeV4">Depends on the type.</param>
/// <param name="TypeV6">See <see cref="Icmpv6Types"/>.</param>
/// <param name="CodeV6">Depends on the type.</param>
/// <param name="Mtu">Of what was too big: most bytes of an IP packet; else 0.</param>
public readonly record struct IcmpError(byte TypeV4, byte CodeV4, byte TypeV6, byte CodeV6, int Mtu = 0)
{
    /// <summary>Of a parameter problem: where the wrong field is in the packet.</summary>
    public uint Pointer { get; init; }

    /// <summary>Least MTU that a host takes from an ICMP error: RFC 791, 3.2.</summary>
    public const int LeastMtuV4 = 68;

    /// <summary>Least MTU that a host takes from an ICMPv6 error: RFC 8200, 5.</summary>
    public const int LeastMtuV6 = 1280;

    /// <summary>No route to the network: RFC 792 code 0, RFC 4443 code 0.</summary>
    public static IcmpError NoRoute => new(Icmpv4Types.DestinationUnreachable, 0, Icmpv6Types.DestinationUnreachable, 0);

    /// <summary>The host is unreachable: RFC 792 code 1, RFC 4443 code 3 (address unreachable).</summary>
    public static IcmpError HostUnreachable => new(Icmpv4Types.DestinationUnreachable, 1, Icmpv6Types.DestinationUnreachable, 3);

    /// <summary>Administratively prohibited: RFC 1812, 5.2.7.1 code 13, RFC 4443 code 1.</summary>
    public static IcmpError Prohibited => new(Icmpv4Types.DestinationUnreachable, 13, Icmpv6Types.DestinationUnreachable, 1);

    /// <summary>Erroneous header field, IPv6 only: RFC 4443, 3.4 code 0.</summary>
    /// <param name="pointer">Offset of the field in the packet, in bytes.</param>
    public static IcmpError ParameterProblem(int pointer) => new(0, 0, Icmpv6Types.ParameterProblem, 0) { Pointer = (uint)pointer };

    /// <summary>Fragmentation needed with the next hop's MTU (RFC 1191, 4), packet too big (RFC 4443, 3.2).</summary>
    public static IcmpError TooBig(int mtu) =>
        new(Icmpv4Types.DestinationUnreachable, Icmpv4Types.FragmentationNeeded, Icmpv6Types.PacketTooBig, 0, mtu);
}
