using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Setups;

/// <summary>A daemon's tunnel of each kind, plain.</summary>
internal static class Encapsulation
{
    public static TunnelOptions Of(HostileTunnel tunnel) => tunnel switch
    {
        HostileTunnel.Vxlan => new TunnelOptions(),
        HostileTunnel.IpInIp => new TunnelOptions { Encapsulation = "ipip" },
        _ => new TunnelOptions
        {
            Encapsulation = "geneve",
            Port = 6081,
            Flags = 0,
            SegmentLines = [tunnel == HostileTunnel.Geneve ? "payload: ethernet" : "payload: ip"],
        },
    };
}
