using Overlay.Cli.Terminals;
using Overlay.Cli.Top;
using Overlay.Rpc;

namespace Overlay.Cli.Tests;

public sealed class TopFrameTests
{
    private static readonly StatusDocument Before = SampleStatus.Create();

    private static readonly StatusDocument After = Before with
    {
        Peers =
        [
            Before.Peers[0] with
            {
                Egress = new(Before.Peers[0].Egress.Packets + 4000, Before.Peers[0].Egress.Bytes + 500_000, 1),
                Path = Before.Peers[0].Path with { LeadsBack = true },
                Drops = new Dictionary<string, long> { ["egress-no-route"] = 6 },
            },
        ],
        Queues = [Before.Queues[0] with { Drops = new Dictionary<string, long> { ["egress-no-route"] = 9, ["ingress-unknown-peer"] = 0 } }, Before.Queues[1]],
    };

    [Fact]
    public void Between_TwoReadings_GivesRatesASecond()
    {
        TopFrame frame = TopFrame.Between(Before, After, seconds: 2);

        Assert.Equal(new Rate(2000, 2_000_000), frame.Peers[0].Out);
        Assert.Equal(default, frame.Peers[0].In);
        Assert.Equal(frame.Peers[0].Out, frame.Out);
        Assert.Equal([("egress-no-route", 4, 9), ("ingress-unknown-peer", 0, 1234)], frame.Drops.Select(drop => (drop.Reason, (int)drop.PerSecond, (int)drop.Total)));
        Assert.Equal((3, true), (frame.Peers[0].Dropped, frame.Peers[0].Loops));
        Assert.Equal(new PeerDropRate("node-b", 3, 6), Assert.Single(frame.Drops[0].Peers));
        Assert.Empty(frame.Drops[1].Peers);
    }

    [Fact]
    public void Between_ADaemonThatStartedAnew_CountsFromZero()
    {
        StatusDocument anew = Before with { Peers = [Before.Peers[0] with { Egress = new(2, 100, 0) }] };

        Assert.Equal(new Rate(2, 800), TopFrame.Between(After, anew, seconds: 1).Peers[0].Out);
    }

    [Theory]
    [InlineData(0, "0")]
    [InlineData(0.5, "0.50")]
    [InlineData(999, "999")]
    [InlineData(999.6, "1.00 k")]
    [InlineData(12_345, "12.3 k")]
    [InlineData(9_876_543_210, "9.88 G")]
    public void Si_Number_HasThreeDigitsAndAPrefix(double value, string text) => Assert.Equal(text, TopView.Si(value));

    [Fact]
    public void Write_OnATerminalOf80Columns_KeepsTheAlarmOfAPeer()
    {
        using var output = new ScreenText(80) { NewLine = "\n" };

        TopView.Write(TopFrame.Between(Before, After, seconds: 2), TopOrder.Out, null, output);

        Assert.Contains("  node-b  loop, ", Repeat.Fit(output.ToString(), height: 40, width: 80), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(80, false, false)]
    [InlineData(84, false, true)]
    [InlineData(200, true, true)]
    public void Write_OnATerminal_LeavesWholeColumnsOutAndCutsNoValue(int width, bool hasEndpoint, bool hasRoundTrip)
    {
        using var output = new ScreenText(width) { NewLine = "\n" };
        var busy = new Rate(999_499, 99_949_000_000);
        PeerRate peer = TopFrame.Between(Before, After, seconds: 2).Peers[0] with
        {
            Name = "worker-17.example",
            Endpoint = "[2001:db8:1234:5678::17]:4789",
            Out = busy,
            In = busy,
            Dropped = 999_499,
            Loops = false,
            PathMtu = 65_535,
            RoundTripMilliseconds = 123.45,
        };

        TopView.Write(TopFrame.Between(Before, After, seconds: 2) with { Peers = [peer] }, TopOrder.Out, null, output);

        string[] lines = output.ToString().Split('\n');
        Assert.All(lines, line => Assert.InRange(line.Length, 0, width));
        string row = lines.Single(line => line.StartsWith("  worker-17.example  ", StringComparison.Ordinal));
        Assert.Equal((3, 2), (row.Split(" 999 k").Length - 1, row.Split(" 99.9 G").Length - 1));
        Assert.Equal((hasEndpoint, hasRoundTrip), (row.Contains(peer.Endpoint, StringComparison.Ordinal), row.Contains(" 123.45", StringComparison.Ordinal)));
        Assert.All(new[] { " black", " hole", " 65535" }, part => Assert.Contains(lines, line => line.Contains(part, StringComparison.Ordinal)));
    }

    [Fact]
    public void Write_Frame_ShowsPeersSegmentsAndDrops()
    {
        using var output = new ScreenText(null) { NewLine = "\n" };

        TopView.Write(TopFrame.Between(Before, After, seconds: 2), TopOrder.Out, null, output);

        Assert.Equal("""
            node-a: overlayd 1.2.3, ready, up 1d 2h 3m, configuration revision 4
            out 2.00 k packets/s 2.00 Mbit/s, in 0 packets/s 0 bit/s, dropped 4 packets/s, over 2.0 s

              PEER    ALARM             ENDPOINT        OUT PKT/S  OUT BIT/S  IN PKT/S  IN BIT/S  DROP/S  PATH MTU  RTT MS
              node-b  loop, black hole  192.0.2.2:4789     2.00 k     2.00 M         0         0       3      1400    0.40

              SEGMENT  OUT PACKETS/S  OUT BIT/S  IN PACKETS/S  IN BIT/S  DROPPED/S
              pods                 0          0             0         0          4
              (none)               0          0             0         0          0

              DROPPED/S  TOTAL  REASON                PEERS       MEANING
                      4      9  egress-no-route       node-b 3/s  no route covers the destination
                      0  1,234  ingress-unknown-peer  -           unknown sender

            """, output.ToString());
    }
}
