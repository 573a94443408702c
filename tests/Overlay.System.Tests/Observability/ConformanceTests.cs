using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;

namespace Overlay.SystemTests.Observability;

/// <summary><c>overlay conformance</c> between two nodes.</summary>
public sealed partial class ConformanceTests(DaemonPair<UdpGso> pair) : IClassFixture<DaemonPair<UdpGso>>
{
    private const int NotConforming = 2;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Run_BetweenTwoNodes_ProvesEverythingAndReportsInEveryForm()
    {
        using RunningProcess there = await ServeAsync(pair.B.Pod);
        using RunningProcess itsNode = await ServeAsync(pair.B.Host);
        using RunningProcess ownNode = await ServeAsync(pair.A.Host);
        DirectoryInfo folder = NetworkNamespace.CreateDirectory();
        try
        {
            string html = Path.Combine(folder.FullName, "report.html");
            CommandResult run = await RunAsync(
                "--peer", pair.B.Pod4, "--peer", pair.B.Pod6, "--node", "10.244.1.1", "--underlay", pair.B.Underlay4, "--seconds", "0.5", "--rounds", "1", "--json", "--html", html);

            Assert.True(run.ExitCode == 0, run.Transcript);
            using JsonDocument report = JsonDocument.Parse(run.Output);
            Assert.Equal((26, 0, 0), (Number("passed"), Number("failed"), Number("skipped")));
            Assert.Equal(["IPv4", "IPv6"], report.RootElement.GetProperty("families").EnumerateArray().Select(family => family.GetProperty("family").GetString()));
            JsonElement[] figures = [.. report.RootElement.GetProperty("figures").EnumerateArray()];
            Assert.Equal(4, figures.Length);
            Assert.All(figures, figure => Assert.InRange(figure.GetProperty("ratio").GetDouble(), 0.001, 1000));

            string page = await File.ReadAllTextAsync(html);
            // Nothing of it is fetched from elsewhere, and its charts are well-formed.
            Assert.DoesNotMatch(Fetches(), page);
            XElement[] charts = [.. Charts().Matches(page).Select(match => XElement.Parse(match.Value))];
            Assert.Equal(4, charts.Length);
            Assert.All(charts, chart => Assert.Equal(2, chart.Elements("rect").Count()));

            int Number(string name) => report.RootElement.GetProperty(name).GetInt32();
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Run_ThroughAddressTranslation_FailsTheGuaranteeAndSaysSo()
    {
        using RunningProcess there = await ServeAsync(pair.B.Pod);
        await pair.A.Host.CheckAsync("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "overlay0", "-j", "MASQUERADE");
        try
        {
            CommandResult run = await RunAsync("--peer", pair.B.Pod4, "--rounds", "0");

            Assert.True(run.ExitCode == NotConforming, run.Transcript);
            Assert.Matches(@"pod to pod without NAT +FAILED +this end is 10\.244\.1\.2:[0-9]+, and the peer sees 10\.244\.1\.", run.Output);
            Assert.Matches("node to pod +skipped +run 'overlay conformance serve' on this node", run.Output);
            Assert.Matches("IPv6, peer -\n.*\n  all +skipped +give --peer with an IPv6 address", run.Output);
        }
        finally
        {
            await pair.A.Host.CheckAsync("iptables", "-t", "nat", "-F", "POSTROUTING");
        }
    }

    [Fact]
    public async Task Run_NobodyThere_SaysWhatToStart()
    {
        CommandResult run = await RunAsync("--peer", pair.B.Pod4, "--port", "9999");

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.Contains("is 'overlay conformance serve' running there?", run.Errors, StringComparison.Ordinal);
    }

    private static async Task<RunningProcess> ServeAsync(NetworkNamespace inside)
    {
        RunningProcess server = inside.Start([Repository.Client, "conformance", "serve"]);
        await server.WaitForTextAsync("serving on port", Start);
        return server;
    }

    private Task<CommandResult> RunAsync(params string[] arguments) => pair.A.Pod.RunAsync(Deadline, [Repository.Client, "conformance", "run", .. arguments]);

    [GeneratedRegex("<svg.*?</svg>", RegexOptions.Singleline)]
    private static partial Regex Charts();

    [GeneratedRegex("<(script|link|img|iframe)|url\\(|@import|https?://")]
    private static partial Regex Fetches();
}
