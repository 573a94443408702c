using Overlay.Dataplane.Offload;
using Overlay.Linux.Tap;
using Overlay.Linux.Tests.Support;

namespace Overlay.Linux.Tests;

/// <summary>The self-test of TAP offloads, on this kernel and on ones that are played broken.</summary>
public sealed class TapOffloadTestTests
{
    private const TapOffloads WithoutUdp = TapOffloads.All & ~(TapOffloads.Uso4 | TapOffloads.Uso6);

    [Fact]
    public void Run_ThisKernel_PassesAllThatItGrants() => Assert.Equal(new TapOffloadFinding(TapOffloads.All, null), TapOffloadTest.Run());

    [Theory]
    [InlineData(VirtioGsoType.Udp, WithoutUdp)]
    [InlineData(VirtioGsoType.Tcp4, TapOffloads.Checksum)]
    public void Run_SuperPacketsWithAWrongSegmentSize_AreSwitchedOff(VirtioGsoType broken, TapOffloads works) =>
        Assert.Equal(works, TapOffloadTest.Run((Span<byte> _, ref VirtioNetHeader offload) => offload.SegmentSize += (ushort)(offload.GsoType == broken ? 100 : 0)).Works);

    [Theory]
    [InlineData(VirtioGsoType.Udp, WithoutUdp)]
    [InlineData(VirtioGsoType.Tcp4, TapOffloads.Checksum)]
    public void Run_SuperPacketsWithOneWrongByte_AreSwitchedOff(VirtioGsoType broken, TapOffloads works) =>
        Assert.Equal(works, TapOffloadTest.Run((Span<byte> frame, ref VirtioNetHeader offload) => frame[^1] ^= (byte)(offload.GsoType == broken ? 1 : 0)).Works);

    [Fact]
    public void Run_UnfinishedChecksumsNotToldOf_AreSwitchedOff() => Assert.Equal(
        TapOffloads.None,
        TapOffloadTest.Run((Span<byte> _, ref VirtioNetHeader offload) =>
        {
            if (offload.GsoType == VirtioGsoType.None) offload.Flags = VirtioNetFlags.None;
        }).Works);

    [Fact]
    public void Run_NothingComesOutRight_SaysThatItCouldNotBeTried()
    {
        TapOffloadFinding finding = TapOffloadTest.Run((Span<byte> frame, ref VirtioNetHeader _) => frame[^1] ^= 1);
        Assert.Null(finding.Works);
        Assert.NotNull(finding.Obstacle);
    }

    [Fact]
    public void Open_OffloadsThatAreExcluded_AreDoneWithoutAndTold()
    {
        using var space = new NetworkNamespace();
        using TapDevice device = space.Run(() => TapDevice.Open(new TapOptions { Name = "tap0", Offloads = WithoutUdp }));
        Assert.Equal(WithoutUdp, device.Offloads);
        Assert.Equal("tap0 does without UDP segmentation (USO): UDP leaves applications one datagram at a time", Assert.Single(device.Refusals));
    }
}
