using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Bench;

/// <summary>The tunnel header of the benchmarks that have one.</summary>
public enum Tunnel
{
    Vxlan,
    Geneve,

    /// <summary>Two options of four bytes of data each, one of them critical.</summary>
    GeneveWithOptions,
    GeneveBareIp,

    /// <summary>No tunnel header at all.</summary>
    IpInIp,
}

/// <summary>The formats of the benchmarks' tunnels.</summary>
internal static class Tunnels
{
    private const ushort OptionClass = 0x0102;
    private const byte CriticalType = 0x83;
    private const byte OrdinaryType = 0x04;

    public static TunnelFormat Format(this Tunnel tunnel) => tunnel switch
    {
        Tunnel.Vxlan => TunnelFormat.Vxlan,
        Tunnel.Geneve => new TunnelFormat { Encapsulation = Encapsulation.Geneve },
        Tunnel.GeneveWithOptions => new TunnelFormat { Encapsulation = Encapsulation.Geneve, GeneveOptions = Options() },
        Tunnel.GeneveBareIp => new TunnelFormat { Encapsulation = Encapsulation.Geneve, IsBareIp = true },
        Tunnel.IpInIp => new TunnelFormat { Encapsulation = Encapsulation.IpInIp },
        _ => throw new ArgumentOutOfRangeException(nameof(tunnel)),
    };

    private static byte[] Options()
    {
        byte[] options = new byte[2 * (GeneveOption.HeaderLength + sizeof(uint))];
        int length = GeneveOption.Write(options, OptionClass, CriticalType, new byte[sizeof(uint)]);
        GeneveOption.Write(options.AsSpan(length), OptionClass, OrdinaryType, new byte[sizeof(uint)]);
        return options;
    }
}
