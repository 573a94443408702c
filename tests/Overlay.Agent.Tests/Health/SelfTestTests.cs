using Overlay.Agent.Health;
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
