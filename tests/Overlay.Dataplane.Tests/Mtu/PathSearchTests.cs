using Overlay.Dataplane.Mtu;

namespace Overlay.Dataplane.Tests.Mtu;

public sealed class PathSearchTests
{
    [Theory]
    [InlineData(1280)]
    [InlineData(1400)]
    [InlineData(1500)]
    [InlineData(9000)]
    [InlineData(65_535)]
    public void Advance_PathCarriesTheLinks_IsCompleteAfterARoundTripAndLimitsNothing(int link)
    {
        var path = new SimulatedPath(link) { RoundTrip = 30 };

        double took = path.RunUntil(each => each.Search.State == PathState.Complete);

        Assert.InRange(took, 30, 32);
        Assert.Equal(PeerPath.Unlimited, path.Search.FoundMtu);
        Assert.Equal((PathEvidence.Probes, false), (path.Search.Report.Evidence, path.Search.IsBlackHole));
    }

    [Theory]
    [InlineData(1500, 1400)]
    [InlineData(1500, 1499)]
    [InlineData(1500, 1333)]
    [InlineData(1500, 576)]
    [InlineData(1500, 799)]
    [InlineData(9000, 1500)]
    [InlineData(9000, 8999)]
    [InlineData(9000, 5321)]
    [InlineData(65_535, 20_001)]
    public void Advance_SmallerPathWithoutIcmp_IsFoundExactlyWithinASecond(int link, int mtu)
    {
        var path = new SimulatedPath(link) { Mtu = mtu };

        path.RunUntil(each => each.Search.State == PathState.Complete, most: 1000);

        Assert.Equal(mtu, path.InForce);
        Assert.True(path.Search.IsBlackHole);
    }

    [Fact]
    public void Advance_AnyPath_IsFoundExactlyWhateverIsLost()
    {
        int seed = Environment.TickCount;
        var random = new Random(seed);
        for (int run = 0; run < 300; run++)
        {
            int link = random.Next(600, 65_536);
            var path = new SimulatedPath(link) { Mtu = random.Next(576, link + 1), RoundTrip = random.NextDouble() * 60, Loses = _ => random.Next(20) == 0 };

            path.RunUntil(each => each.InForce == Math.Min(each.Mtu, link) && each.Search.State == PathState.Complete, most: 2_000_000);

            Assert.True(path.Search.FoundMtu is PeerPath.Unlimited || path.Search.FoundMtu <= path.Mtu, $"seed {seed} run {run}");
        }
    }

    [Fact]
    public void Advance_PathShrinksUnderTraffic_BlackHoleIsNoticedWithinTwoSeconds()
    {
        var path = new SimulatedPath(1500);
        path.Run(5000);
        path.Mtu = 1350;

        double took = path.RunUntil(each => each.InForce == 1350);

        Assert.InRange(took, 0, 2000);
        Assert.True(path.Search.IsBlackHole);
    }

    [Fact]
    public void Advance_IdlePath_IsConfirmedSeldom()
    {
        var path = new SimulatedPath(1500) { IsActive = false };
        path.Run(60_000);
        Assert.InRange(path.Sent.Count, 10, 25);
    }

    [Fact]
    public void Advance_PathGrows_IsTriedAgainAtTheRaiseTimerAndNotBefore()
    {
        var path = new SimulatedPath(1500) { Mtu = 1400 };
        path.Run(2000);
        path.Mtu = 1500;

        path.Run(590_000);
        Assert.Equal(1400, path.InForce);
        path.Run(15_000);
        Assert.Equal(1500, path.InForce);
        Assert.False(path.Search.IsBlackHole);
    }

    [Fact]
    public void Advance_RaiseFails_TriesAgainOnlyAtTheNextRaise()
    {
        var path = new SimulatedPath(1500) { Mtu = 1400 };
        path.Run(601_500);
        int larger = path.Sent.Count(size => size > 1400);
        path.Run(500_000);
        Assert.Equal(larger, path.Sent.Count(size => size > 1400));
    }

    [Fact]
    public void Heard_PeersProbeLargerThanKnown_SetsOffOneSearchAtOnce()
    {
        var path = new SimulatedPath(1500) { Mtu = 1400 };
        path.Run(2000);
        path.Mtu = 1500;

        path.Search.Heard(1500, path.Now);
        path.Run(100);
        Assert.Equal(1500, path.InForce);
    }

    [Fact]
    public void Heard_PeerThatHasJustStarted_IsAskedAgainAtOnce()
    {
        var path = new SimulatedPath(1500) { Answers = false };
        path.Run(10);
        path.Answers = true;
        path.Search.Heard(576, path.Now);
        Assert.InRange(path.RunUntil(each => each.Search.State == PathState.Complete), 0, 5);
    }

    [Fact]
    public void Advance_SmallerPathAtTheStart_SomethingThatFitsIsInForceBeforeATcpTimeout()
    {
        // RFC 6298 with Linux's least of 200 ms: the first segment that is sent again fits already.
        var path = new SimulatedPath(1500) { Mtu = 1333 };
        Assert.InRange(path.RunUntil(each => each.InForce <= 1333), 0, 190);
        path.RunUntil(each => each.InForce == 1333, most: 1000);
    }

    [Fact]
    public void Heard_AsymmetricPath_IsNotSearchedAgainAndAgain()
    {
        var path = new SimulatedPath(1500) { Mtu = 1400 };
        path.Run(2000);
        int before = path.Sent.Count;

        for (int i = 0; i < 20; i++)
        {
            path.Search.Heard(1500, path.Now);
            path.Run(1000);
        }

        Assert.InRange(path.Sent.Count - before, 1, 100);
        Assert.Equal(1400, path.InForce);
    }

    [Fact]
    public void Advance_PeerAnswersNothing_LinkHoldsAndItIsAskedNowAndThen()
    {
        var path = new SimulatedPath(1500) { Answers = false };
        path.RunUntil(each => each.Search.State == PathState.Unanswered, most: 1000);
        Assert.Equal(1500, path.InForce);
        int before = path.Sent.Count;

        path.Run(65_000);
        Assert.InRange(path.Sent.Count - before, 3, 9);
        Assert.All(path.Sent[before..], size => Assert.Equal(PathSearch.LeastIpv4, size));

        path.Answers = true;
        path.Mtu = 1400;
        path.Search.Heard(600, path.Now);
        path.Run(1000);
        Assert.Equal((PathState.Complete, 1400), (path.Search.State, path.InForce));
    }

    [Fact]
    public void Advance_NothingGetsThrough_KeepsWhatWasKnownForAWhile()
    {
        var path = new SimulatedPath(1500) { Mtu = 1400 };
        path.Run(2000);
        path.Answers = false;

        path.RunUntil(each => each.Search.State == PathState.Error, most: 3000);
        Assert.Equal(1400, path.InForce);
        path.Answers = true;
        path.RunUntil(each => each.Search.State == PathState.Complete, most: 5000);
        Assert.Equal(1400, path.InForce);

        path.Answers = false;
        path.RunUntil(each => each.Search.State == PathState.Unanswered, most: 120_000);
        Assert.Equal(1500, path.InForce);
    }

    [Fact]
    public void TooBig_PeerThatAnswersNothing_IsBelievedUntilTheRaiseTimer()
    {
        var path = new SimulatedPath(1500) { Answers = false };
        path.Run(1000);

        path.Search.TooBig(1380, 1500, path.Now);
        Assert.Equal((1380, PathEvidence.Icmp, false), (path.InForce, path.Search.Report.Evidence, path.Search.IsBlackHole));
        path.Search.TooBig(1400, 1500, path.Now);
        Assert.Equal(1380, path.InForce);
        path.Run(595_000);
        Assert.Equal(1380, path.InForce);
        path.Run(10_000);
        Assert.Equal(1500, path.InForce);
    }

    [Theory]
    [InlineData(1500, 1492)]
    [InlineData(1490, 1480)]
    [InlineData(600, 576)]
    public void TooBig_WithoutAnMtu_IsTheNextPlateauBelow(int quoted, int expected)
    {
        var path = new SimulatedPath(1500) { Answers = false };
        path.Run(1000);
        path.Search.TooBig(0, quoted, path.Now);
        Assert.Equal(expected, path.InForce);
    }

    [Fact]
    public void TooBig_PeerThatAnswers_IsOnlyAnOccasionToLook()
    {
        var path = new SimulatedPath(1500);
        path.Run(2000);

        path.Search.TooBig(600, 1500, path.Now);
        path.Run(500);
        Assert.Equal(1500, path.InForce);

        path.Mtu = 1400;
        path.Run(600);
        path.Search.TooBig(1400, 1500, path.Now);
        path.RunUntil(each => each.InForce == 1400, most: 1000);
        Assert.False(path.Search.IsBlackHole);
    }

    [Fact]
    public void TooBig_TwoHopsNarrowerThanTheLink_IsNoBlackHoleUntilOneIsSilent()
    {
        var path = new SimulatedPath(1500) { Mtu = 1400, ToldHops = [1450, 1400] };
        path.Run(2000);
        Assert.Equal((1400, false), (path.InForce, path.Search.IsBlackHole));
        path.Run(595_000);
        int before = path.Sent.Count(size => size > 1400);
        for (int i = 0; i < 10_000; i++)
        {
            path.Run(1);
            Assert.Equal((1400, false), (path.InForce, path.Search.IsBlackHole));
        }
        Assert.NotEqual(before, path.Sent.Count(size => size > 1400));

        path.ToldHops = [1450, 1420];
        path.Mtu = 1420;
        path.Run(605_000);
        Assert.Equal((1420, false), (path.InForce, path.Search.IsBlackHole));

        path.ToldHops = [1450];
        path.Mtu = 1390;
        path.Run(3000);
        Assert.Equal((1390, true), (path.InForce, path.Search.IsBlackHole));
    }

    [Fact]
    public void Offered_PeerThatAnswersNothing_IsBelievedDownToTheLeast()
    {
        var path = new SimulatedPath(1500) { Answers = false };
        path.Run(1000);
        path.Search.Offered(500, path.Now);
        Assert.Equal(1500, path.InForce);
        path.Search.Offered(1410, path.Now);
        Assert.Equal((1410, PathEvidence.TcpMss), (path.InForce, path.Search.Report.Evidence));

        var answered = new SimulatedPath(1500);
        answered.Run(1000);
        answered.Search.Offered(1410, answered.Now);
        Assert.Equal(1500, answered.InForce);
    }

    [Fact]
    public void Lost_PeerThatAnswersNothing_IsABlackHoleUntilTheRaiseTimer()
    {
        var path = new SimulatedPath(1500) { Answers = false };
        path.Run(1000);
        path.Search.Lost(RepeatWatch.Smaller, path.Now);
        Assert.Equal((1500, false), (path.InForce, path.Search.IsBlackHole));

        path.Search.Lost(1500, path.Now);
        Assert.Equal((RepeatWatch.Smaller, PathEvidence.TcpRepeats, true), (path.InForce, path.Search.Report.Evidence, path.Search.IsBlackHole));
        path.Run(595_000);
        Assert.True(path.Search.IsBlackHole);
        path.Run(10_000);
        Assert.Equal((1500, false), (path.InForce, path.Search.IsBlackHole));
    }

    [Fact]
    public void Lost_PeerThatAnswers_IsNotBelieved()
    {
        var path = new SimulatedPath(1500);
        path.Run(1000);
        path.Search.Lost(1500, path.Now);
        Assert.Equal((1500, false), (path.InForce, path.Search.IsBlackHole));
    }

    [Fact]
    public void Answered_PeerThatWasSilent_EndsWhatTcpRepeatsTold()
    {
        var path = new SimulatedPath(1500) { Answers = false };
        path.Run(1000);
        path.Search.Lost(1500, path.Now);

        path.Answers = true;
        path.Search.Heard(600, path.Now);
        path.RunUntil(each => each.Search.State == PathState.Complete);
        Assert.Equal((1500, PathEvidence.Probes, false), (path.InForce, path.Search.Report.Evidence, path.Search.IsBlackHole));
    }

    [Fact]
    public void Answered_WrongTokenOrSize_ProvesNothing()
    {
        var search = new PathSearch(PathSearch.LeastIpv4, new PathTimers(), () => 7);
        var probes = new List<ProbeRequest>();
        search.SetLink(1500, 0);
        search.Advance(0, isActive: true, maySearch: true, probes);
        Assert.Equal(1500, probes[^1].Size);

        search.Answered(8, 1500, 1);
        search.Answered(7, 1499, 1);
        Assert.Equal(PathState.Base, search.State);
        search.Answered(7, 1500, 1);
        Assert.Equal(PathState.Complete, search.State);
    }

    [Fact]
    public void SetLink_Changed_IsSearchedAnew()
    {
        var path = new SimulatedPath(1500) { Mtu = 1400 };
        path.Run(2000);
        path.Link = 1300;
        path.Run(1000);
        Assert.Equal((PathState.Complete, 1300), (path.Search.State, path.InForce));
        path.Link = 9000;
        path.Run(1000);
        Assert.Equal((PathState.Complete, 1400), (path.Search.State, path.InForce));
    }

    [Fact]
    public void Advance_ProbingOff_SendsNothingAndTakesOtherEvidence()
    {
        var path = new SimulatedPath(1500, new PathTimers { Probes = false });
        path.Run(60_000);
        path.Search.Heard(1500, path.Now);
        path.Search.TooBig(1400, 1500, path.Now);
        path.Run(1000);

        Assert.Empty(path.Sent);
        Assert.Equal((PathState.Unanswered, 1400), (path.Search.State, path.InForce));
    }

    [Fact]
    public void Advance_MayNotSearch_WaitsUntilItMay()
    {
        var search = new PathSearch(PathSearch.LeastIpv4, new PathTimers(), () => 7);
        var probes = new List<ProbeRequest>();
        search.SetLink(1500, 0);
        for (double now = 0; now < 1000; now += 10) search.Advance(now, isActive: true, maySearch: false, probes);
        Assert.Empty(probes);
        search.Advance(1000, isActive: true, maySearch: true, probes);
        Assert.NotEmpty(probes);
    }
}
