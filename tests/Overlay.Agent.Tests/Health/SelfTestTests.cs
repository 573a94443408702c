using Overlay.Agent.Health;
using Overlay.Linux.Tap;
using Overlay.Linux.Underlay;
using Overlay.Wire;

namespace Overlay.Agent.Tests.Health;

public sealed class SelfTestTests
{
    [Fact]
    public void TryChecksums_ThisProcessor_PassesWithoutSwitchingAnythingOff()
    {
        bool isOff = false;
        Assert.True(SelfTest.TryChecksums(data => InternetChecksum.Add(data), () => isOff = true).Passed);
        Assert.False(isOff);
    }

    [Theory]
    [InlineData(64)]
    [InlineData(317)]
    [InlineData(1501)]
    public void TryChecksums_VectorsThatAddWronglyFromSomeLengthOn_AreSwitchedOff(int from)
    {
        bool isOff = false;
        Rpc.SelfTestResult result = SelfTest.TryChecksums(
            data => InternetChecksum.Add(data) + (!isOff && data.Length >= from ? 1ul : 0), () => isOff = true);
        Assert.True(isOff);
        Assert.False(result.Passed);
        Assert.Contains("switched off", result.Outcome, StringComparison.Ordinal);
    }

    [Fact]
    public void TryChecksums_WrongInEveryWay_IsToldAsCorruption() =>
        Assert.Contains("would be corrupted", SelfTest.TryChecksums(data => InternetChecksum.Add(data) + 1, () => { }).Outcome, StringComparison.Ordinal);

    [Theory]
    [InlineData(TapOffloads.All, true, "as they should")]
    [InlineData(TapOffloads.All & ~(TapOffloads.Uso4 | TapOffloads.Uso6), false, "UDP super-packets come out of a device wrong; they are switched off")]
    [InlineData(TapOffloads.Checksum, false, "TCP super-packets come out of a device wrong; they are switched off")]
    [InlineData(TapOffloads.None, false, "all its offloads are switched off")]
    public void Describe_OffloadsOfDevices_SaysWhatIsSwitchedOff(TapOffloads works, bool passed, string outcome)
    {
        Rpc.SelfTestResult result = SelfTest.Describe(new TapOffloadFinding(works, null));
        Assert.Equal(passed, result.Passed);
        Assert.Contains(outcome, result.Outcome, StringComparison.Ordinal);
    }

    [Fact]
    public void Describe_DevicesThatCouldNotBeTried_SaysWhy()
    {
        Rpc.SelfTestResult result = SelfTest.Describe(new TapOffloadFinding(null, "not permitted"));
        Assert.Equal((null, "could not be tried: not permitted"), (result.Passed, result.Outcome));
    }

    [Fact]
    public void Describe_EachOutcome_SaysWhatIsSwitchedOff()
    {
        Assert.Null(SelfTest.Describe(null).Passed);
        Assert.True(SelfTest.Describe(UdpOffloads.All).Passed);
        Assert.Contains("UDP_GRO", SelfTest.Describe(new UdpOffloads(true, false)).Outcome, StringComparison.Ordinal);
        Assert.Contains("UDP_SEGMENT", SelfTest.Describe(new UdpOffloads(false, true)).Outcome, StringComparison.Ordinal);
        Assert.Contains("UDP_SEGMENT, UDP_GRO", SelfTest.Describe(new UdpOffloads(false, false)).Outcome, StringComparison.Ordinal);
    }
}
