using System.Text.Json;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;

namespace Overlay.SystemTests.Observability;

/// <summary><c>overlay top</c> and <c>--watch</c> beside daemons that carry traffic.</summary>
public sealed class TopTests(DaemonPair<UdpGso> pair) : IClassFixture<DaemonPair<UdpGso>>
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Top_WhilePacketsFlow_ShowsTheRatesOfPeersAndDrops()
    {
        using RunningProcess ping = pair.A.Pod.Start(["ping", "-n", "-q", "-i", "0.01", pair.B.Pod4]);
        // The kernel asks for the address once a second, as if it were on the link.
        using RunningProcess lost = pair.A.Host.Start(["ping", "-n", "-q", "-i", "0.05", "-I", "overlay0", "10.99.0.1"]);
        CommandResult json = await RunAsync("top", "--interval", "1", "--count", "2", "--json");
        CommandResult text = await RunAsync("top", "--interval", "1", "--once");
        lost.Signal(Libc.SignalTerminate);
        ping.Signal(Libc.SignalTerminate);

        Assert.True(json.ExitCode == 0, json.Transcript);
        string[] lines = json.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(2, lines.Length);
        using JsonDocument frame = JsonDocument.Parse(lines[1]);
        JsonElement peer = Assert.Single(frame.RootElement.GetProperty("peers").EnumerateArray());
        Assert.Equal("node-b", peer.GetProperty("name").GetString());
        Assert.InRange(peer.GetProperty("out").GetProperty("packets").GetDouble(), 20, 200);
        Assert.InRange(peer.GetProperty("in").GetProperty("packets").GetDouble(), 20, 200);
        JsonElement drop = frame.RootElement.GetProperty("drops").EnumerateArray().First(each => each.GetProperty("reason").GetString() == "egress-no-route");
        Assert.InRange(drop.GetProperty("perSecond").GetDouble(), 0.4, 40);

        Assert.True(text.ExitCode == 0, text.Transcript);
        Assert.DoesNotContain('\e', text.Output);
        Assert.StartsWith("node-a: overlayd ", text.Output, StringComparison.Ordinal);
        Assert.Matches("  node-b +- +192\\.0\\.2\\.2:4789  ", text.Output);
        Assert.Contains("egress-no-route", text.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Top_OnATerminal_RedrawsInPlaceFitsAndQuitsWithQ()
    {
        // script(1) gives it a terminal; q is typed into it after a while.
        string command = $"stty cols 80 rows 20; {Repository.Client} top --interval 0.2 --socket {pair.DaemonA.Socket}";
        CommandResult run = await Command.RunAsync(
            Deadline, null, "sh", "-c", $"(sleep 3; printf n; sleep 1; printf q; sleep 5) | timeout 25 script -qec '{command}' /dev/null");

        Assert.True(run.ExitCode == 0, run.Transcript);
        Assert.Contains("\e[?1049h", run.Output, StringComparison.Ordinal);
        string last = run.Output[..run.Output.LastIndexOf("\e[?1049l", StringComparison.Ordinal)];
        string[] screens = last.Split("\e[H\e[J");
        Assert.InRange(screens.Length, 5, int.MaxValue);
        string[] shown = screens[^1].Replace("\r", "", StringComparison.Ordinal).Replace("\e[?25h", "", StringComparison.Ordinal).Split('\n');
        Assert.InRange(shown.Length, 5, 20);
        Assert.All(shown, line => Assert.InRange(line.Length, 0, 80));
        Assert.Contains("node-b", screens[^1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("peers", "ENDPOINT")]
    [InlineData("health", "SELF-TESTS")]
    public async Task Listing_Watched_IsPrintedAgainUntilInterrupted(string command, string heading)
    {
        using RunningProcess watch = RunningProcess.Start(Repository.Client, [command, "--watch", "0.2", "--socket", pair.DaemonA.Socket]);
        await Eventually.TrueAsync(() => Task.FromResult(watch.Output.Split(heading).Length > 3), Deadline, $"{heading} three times");
        watch.Signal(Libc.SignalInterrupt);

        // By then packets may have been dropped for a reason that health minds.
        int code = await watch.WaitForExitAsync(Deadline);
        Assert.True(code == 0 || (command == "health" && watch.Output.Contains("degraded", StringComparison.Ordinal)), watch.Transcript);
    }

    private Task<CommandResult> RunAsync(params string[] arguments) =>
        Command.RunAsync(Deadline, null, Repository.Client, [.. arguments, "--socket", pair.DaemonA.Socket]);
}
