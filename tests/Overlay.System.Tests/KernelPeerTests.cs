using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests;

/// <summary>As Flannel has it, on a wire.</summary>
public sealed class FlannelOnTheWire : ISetup
{
    public static LabOptions Options => new();

    public static TunnelOptions Tunnel => TunnelOptions.Flannel;
}

/// <summary>The kernel fills in outer checksums, on a wire.</summary>
public sealed class FlannelWithChecksums : ISetup
{
    public static LabOptions Options => new();

    public static TunnelOptions Tunnel => TunnelOptions.Flannel with { KernelChecksums = true };
}

/// <summary>The underlay neither cuts nor checksums: the kernel's super-packets arrive whole and unfinished.</summary>
public sealed class FlannelOffloaded : ISetup
{
    public static LabOptions Options => new() { Wire = false };

    public static TunnelOptions Tunnel => TunnelOptions.Flannel;
}

/// <summary>Offloaded, with outer checksums.</summary>
public sealed class FlannelOffloadedWithChecksums : ISetup
{
    public static LabOptions Options => new() { Wire = false };

    public static TunnelOptions Tunnel => TunnelOptions.Flannel with { KernelChecksums = true };
}

/// <summary>IPv6 outside.</summary>
public sealed class FlannelOverIpv6 : ISetup
{
    public static LabOptions Options => new() { Family = UnderlayFamily.Ipv6 };

    public static TunnelOptions Tunnel => TunnelOptions.Flannel;
}

public sealed class FlannelOnTheWireTests(KernelPeer<FlannelOnTheWire> pair)
    : KernelPeerTests<FlannelOnTheWire>(pair), IClassFixture<KernelPeer<FlannelOnTheWire>>;

public sealed class FlannelWithChecksumsTests(KernelPeer<FlannelWithChecksums> pair)
    : KernelPeerTests<FlannelWithChecksums>(pair), IClassFixture<KernelPeer<FlannelWithChecksums>>;

public sealed class FlannelOffloadedTests(KernelPeer<FlannelOffloaded> pair)
    : KernelPeerTests<FlannelOffloaded>(pair), IClassFixture<KernelPeer<FlannelOffloaded>>;

public sealed class FlannelOffloadedWithChecksumsTests(KernelPeer<FlannelOffloadedWithChecksums> pair)
    : KernelPeerTests<FlannelOffloadedWithChecksums>(pair), IClassFixture<KernelPeer<FlannelOffloadedWithChecksums>>;

public sealed class FlannelOverIpv6Tests(KernelPeer<FlannelOverIpv6> pair)
    : KernelPeerTests<FlannelOverIpv6>(pair), IClassFixture<KernelPeer<FlannelOverIpv6>>;

/// <summary>Traffic with a node that runs kernel VXLAN, configured as Flannel does: VNI 1, port 8472, static FDB and neighbours.</summary>
public abstract class KernelPeerTests<TSetup>(KernelPeer<TSetup> pair)
    where TSetup : ISetup
{
    [Theory]
    [InlineData(1)]
    [InlineData(1422)]
    [InlineData(1423)]
    [InlineData(65507)]
    public async Task Ping_BothWays_IsAnswered(int size)
    {
        PingResult toKernel = await Ping.RunAsync(pair.Ours.Pod, pair.Kernel.Pod4, size, count: 3);
        PingResult fromKernel = await Ping.RunAsync(pair.Kernel.Pod, pair.Ours.Pod6, size, count: 3);
        PingResult nodeToPod = await Ping.RunAsync(pair.Kernel.Host, pair.Ours.Pod4, size, count: 3);

        Assert.True(toKernel.Received == 3, toKernel.Transcript);
        Assert.True(fromKernel.Received == 3, fromKernel.Transcript);
        Assert.True(nodeToPod.Received == 3, nodeToPod.Transcript);
    }

    [Theory]
    [InlineData(false, 1)]
    [InlineData(false, 4)]
    [InlineData(true, 1)]
    [InlineData(true, 4)]
    public async Task Tcp_BothWays_ArrivesByteForByte(bool ipv6, int streams)
    {
        long bytes = (128L << 20) / streams;

        await TcpCheck.RunAsync(pair.Ours.Pod, pair.Kernel.Pod, ipv6 ? pair.Kernel.Pod6 : pair.Kernel.Pod4, streams, bytes);
        await TcpCheck.RunAsync(pair.Kernel.Pod, pair.Ours.Pod, ipv6 ? pair.Ours.Pod6 : pair.Ours.Pod4, streams, bytes);
    }

    [Theory]
    [InlineData(false, 1)]
    [InlineData(false, 32)]
    [InlineData(true, 1)]
    [InlineData(true, 32)]
    public async Task Udp_BothWays_ArrivesByteForByte(bool ipv6, int segments)
    {
        await UdpCheck.RunAsync(
            pair.Ours.Pod, pair.Kernel.Pod, ipv6 ? pair.Kernel.Pod6 : pair.Kernel.Pod4, [1200], count: 9600, segments);
        await UdpCheck.RunAsync(
            pair.Kernel.Pod, pair.Ours.Pod, ipv6 ? pair.Ours.Pod6 : pair.Ours.Pod4, [1200], count: 9600, segments);
    }

    [Fact]
    public async Task Udp_FragmentsBothWays_ArriveByteForByte()
    {
        int[] sizes = [1422, 1423, 3000, 20000, 65507];

        await UdpCheck.RunAsync(pair.Ours.Pod, pair.Kernel.Pod, pair.Kernel.Pod4, sizes, count: 100);
        await UdpCheck.RunAsync(pair.Kernel.Pod, pair.Ours.Pod, pair.Ours.Pod6, sizes, count: 100);
    }
}
