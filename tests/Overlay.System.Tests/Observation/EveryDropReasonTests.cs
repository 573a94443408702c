using Overlay.Dataplane.Counters;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Observation;

/// <summary>
/// Nothing disappears without a reason: each one that exists is brought about on a live daemon from outside, and is in its status, its metrics and a
/// capture of what is dropped.
/// </summary>
public sealed class EveryDropReasonTests(DroppingNode node) : IClassFixture<DroppingNode>
{
    public static TheoryData<DropReason> Reasons => [.. DropReasons.All];

    [Theory]
    [MemberData(nameof(Reasons))]
    public void Drop_OfEachReason_IsInStatusMetricsAndTheCapture(DropReason reason)
    {
        string name = DropReasons.Name(reason);

        long counted = StatusFigures.Drops(node.Status, name);

        Assert.True(counted > 0, $"no packet was dropped as {name}: add one to {nameof(DropCases)}");
        Assert.Equal(DropReasons.Meaning(reason), node.Status.DropReasons[name]);
        // Asked for later, and hosts send some multicast by themselves.
        Assert.InRange(node.Metrics[name], counted, long.MaxValue);
        Assert.True(node.Captured.ContainsKey(name), $"no frame of the capture says reason={name}: {string.Join(", ", node.Captured.Keys)}");
    }

    [Fact]
    public void Drops_OfFramesSentOnce_AreCountedAndCapturedOnce()
    {
        foreach (string name in DropCases.SentOnce)
            Assert.Equal((name, 1, 1), (name, StatusFigures.Drops(node.Status, name), node.Captured.GetValueOrDefault(name)));
    }
}
