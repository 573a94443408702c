using Overlay.Dataplane.Mtu;

namespace Overlay.Dataplane.Tests.Mtu;

public sealed class RepeatWatchTests
{
    private const uint Flow = 0xdead_beef;
    private const int Size = 1500;
    private const uint Mss = 1410;
    private const uint BeforeZero = uint.MaxValue - Mss + 1;

    private readonly RepeatWatch _watch = new();

    [Fact]
    public void IsToBeCut_TwoSegmentsThatArriveInPiecesOnly_AreLostForTheirSize()
    {
        Assert.Equal([false, false, true], Send(0, 0, 0));
        Assert.Equal(0, _watch.TakeLost());
        // Its pieces have arrived, for the connection goes on.
        Assert.Equal([false, true], Send(Mss, Mss));
        Assert.Equal(0, _watch.TakeLost());
        Assert.Equal([false], Send(2 * Mss));
        Assert.Equal(Size, _watch.TakeLost());
        Assert.Equal(0, _watch.TakeLost());
    }

    [Fact]
    public void IsToBeCut_ProbesAndNewDataAmongThem_AreLostForTheirSizeAllTheSame()
    {
        // A tail loss probe (RFC 8985, 7), three timeouts, new data as F-RTO sends it (RFC 5682), and timeouts again.
        Assert.Equal([false, false, false, true], Send(9 * Mss, 0, 0, 0));
        Assert.Equal([false, false, false, true, false], Send(10 * Mss, 11 * Mss, Mss, Mss, 2 * Mss));
        Assert.Equal(Size, _watch.TakeLost());
    }

    [Fact]
    public void IsToBeCut_SequenceNumbersWrapAround_IsTheSame()
    {
        Assert.Equal([false, false, true, false, true, false], Send(BeforeZero, BeforeZero, BeforeZero, 0, 0, Mss));
        Assert.Equal(Size, _watch.TakeLost());
    }

    [Fact]
    public void IsToBeCut_PathIsDown_ProvesNothing()
    {
        Assert.Equal([false, false, true, false, false, false], Send(0, 0, 0, 0, 0, 0));
        // It is up again.
        Assert.Equal([false, false, false], Send(Mss, 2 * Mss, 3 * Mss));
        Assert.Equal(0, _watch.TakeLost());
    }

    [Fact]
    public void IsToBeCut_PathWasDownForAWhile_WholeSegmentsThatArriveClearIt()
    {
        Send(0, 0, 0);
        Assert.DoesNotContain(true, Send([.. Enumerable.Range(1, 20).Select(i => (uint)i * Mss)]));
        // Lost again, much later: as patient as at first.
        Assert.Equal([false, false, true, false], Send(30 * Mss, 30 * Mss, 30 * Mss, 31 * Mss));
        Assert.Equal(0, _watch.TakeLost());
    }

    [Fact]
    public void IsToBeCut_SmallSegments_AreNeverCut()
    {
        for (int i = 0; i < 10; i++) Assert.False(_watch.IsToBeCut(Flow, 0, RepeatWatch.Smaller));
    }

    [Fact]
    public void IsToBeCut_ManyFlowsWithoutLoss_AreLeftAlone()
    {
        for (uint round = 0; round < 100; round++)
        {
            for (uint flow = 0; flow < 100; flow++) Assert.False(_watch.IsToBeCut(flow * 0x9e37_79b9, round * Mss, Size));
        }
        Assert.Equal(0, _watch.TakeLost());
    }

    private bool[] Send(params uint[] sequences) => [.. sequences.Select(sequence => _watch.IsToBeCut(Flow, sequence, Size))];
}
