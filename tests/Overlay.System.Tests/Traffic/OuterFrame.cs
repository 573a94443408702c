namespace Overlay.SystemTests.Traffic;

/// <summary>Sound outer frames of every encapsulation, for a daemon that is configured by <see cref="Lab.DaemonConfiguration"/>.</summary>
internal static class OuterFrame
{
    public const int Vni = 42;

    /// <param name="tunnel">How to wrap.</param>
    /// <param name="ethernet">Outer destination and source.</param>
    /// <param name="source">Outer address, which says the family.</param>
    /// <param name="inner">An IP packet.</param>
    /// <param name="trafficClass">Outer one.</param>
    public static byte[] Wrap(HostileTunnel tunnel, byte[] ethernet, string source, string target, byte[] inner, int trafficClass)
    {
        bool innerV6 = inner[0] >> 4 == 6;
        byte[] type = innerV6 ? [0x86, 0xdd] : [8, 0];
        byte[] frame = [.. PlainBytes.Mac("02:00:00:00:00:01"), .. PlainBytes.Mac("02:00:00:00:00:02"), .. type, .. inner];
        byte[] tunnelled = tunnel switch
        {
            HostileTunnel.Vxlan => [8, 0, 0, 0, 0, 0, Vni, 0, .. frame],
            HostileTunnel.Geneve => [0, 0, 0x65, 0x58, 0, 0, Vni, 0, .. frame],
            HostileTunnel.GeneveIp => [0, 0, .. type, 0, 0, Vni, 0, .. inner],
            _ => inner,
        };
        byte protocol = tunnel != HostileTunnel.IpInIp ? (byte)17 : innerV6 ? (byte)41 : (byte)4;
        if (protocol == 17) tunnelled = PlainBytes.Udp(source, target, 50_000, tunnel == HostileTunnel.Vxlan ? 4789 : 6081, tunnelled);
        return source.Contains(':')
            ? [.. ethernet, 0x86, 0xdd, .. PlainBytes.Ipv6(source, target, protocol, tunnelled, trafficClass)]
            : [.. ethernet, 8, 0, .. PlainBytes.Ipv4(source, target, protocol, tunnelled, trafficClass)];
    }
}
