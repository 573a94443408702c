using System.Net;
using System.Text.Json;
using Overlay.Rpc;
using Overlay.Testing;

namespace Overlay.Cli.Tests;

public sealed class RouteCommandTests : IDisposable
{
    private static readonly RouteLookupDocument Found = new(
        "10.244.2.9", null, 4,
        [
            new(
                SampleStatus.Route("10.244.2.0/24", "pods", "node-b"), "node-b", "192.0.2.2:4789", "tunnel", "vxlan from overlay0", 1450,
                [SampleStatus.Route("10.244.2.0/24", "pods", "node-c") with { InForce = false, Reason = "beaten by node-b: metric 0 before 5" }]),
            new(SampleStatus.Route("10.0.0.0/8", "lab", "node-c", "node-d"), null, null, "tunnel", "by flow", 1400, []),
        ]);

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("overlay-cli-");
    private readonly StringWriter _output = new() { NewLine = "\n" };
    private readonly StringWriter _errors = new() { NewLine = "\n" };

    private string SocketPath => Path.Combine(_folder.FullName, "d.sock");

    public void Dispose()
    {
        _folder.Delete(recursive: true);
        _output.Dispose();
        _errors.Dispose();
    }

    [Fact]
    public async Task GetAsync_RoutesInTwoSegments_IsARowEach()
    {
        Task served = Serve("200 OK", JsonSerializer.Serialize(Found, StatusJson.Default.RouteLookupDocument), "?address=10.244.2.9");

        Assert.Equal(0, await GetAsync("10.244.2.9"));

        await served;
        Assert.Equal("""
              PREFIX         PEER            SEGMENT  ENDPOINT        WAY                   MTU  SOURCE              PRIORITY  METRIC  WHY
              10.244.2.0/24  node-b          pods     192.0.2.2:4789  vxlan from overlay0  1450  configured line 12        10       0  the only one to its prefix
              10.0.0.0/8     node-c, node-d  lab      -               by flow              1400  configured line 12        10       0  the only one to its prefix
              not in force: 10.244.2.0/24 to node-c (configured line 12): beaten by node-b: metric 0 before 5

            """, _output.ToString());
        Assert.Equal("", _errors.ToString());
    }

    [Fact]
    public async Task GetAsync_SegmentAndIpv6AsJson_AsksForThemAndPrintsTheAnswer()
    {
        string document = JsonSerializer.Serialize(Found, StatusJson.Default.RouteLookupDocument);
        Task served = Serve("200 OK", document, "?address=fd00%3A%3A1&segment=a%26b&from=fd00%3A%3A2&protocol=17&sourcePort=5&destinationPort=6");

        var question = new RouteQuestion(IPAddress.Parse("fd00::1"))
        {
            Segment = "a&b",
            From = IPAddress.Parse("fd00::2"),
            Protocol = 17,
            SourcePort = 5,
            DestinationPort = 6,
        };
        Assert.Equal(0, await RouteCommand.GetAsync(SocketPath, question, asJson: true, _output, _errors, CancellationToken.None));

        await served;
        Assert.Equal(document, _output.ToString().TrimEnd());
    }

    [Theory]
    [InlineData(false, null, "overlay: no route to 10.9.9.9\n")]
    [InlineData(true, "pods", "overlay: no route to 10.9.9.9 in segment pods\n")]
    public async Task GetAsync_NoRoute_SaysSoAndFails(bool asJson, string? segment, string expected)
    {
        string document = JsonSerializer.Serialize(new RouteLookupDocument("10.9.9.9", null, 1, []), StatusJson.Default.RouteLookupDocument);
        Task served = Serve("200 OK", document, segment is null ? "?address=10.9.9.9" : $"?address=10.9.9.9&segment={segment}");

        Assert.Equal(1, await GetAsync("10.9.9.9", segment, asJson));

        await served;
        Assert.Equal((asJson ? document : "", expected), (_output.ToString().TrimEnd(), _errors.ToString()));
    }

    [Fact]
    public async Task GetAsync_DaemonRefuses_SaysWhy()
    {
        Task served = Serve("400 Bad Request", "there is no segment 'x'; 'overlay status' lists them", "?address=10.9.9.9&segment=x");

        Assert.Equal(1, await GetAsync("10.9.9.9", "x"));

        await served;
        Assert.Equal("overlay: there is no segment 'x'; 'overlay status' lists them\n", _errors.ToString());
    }

    [Fact]
    public async Task PeersAndRoutes_OfADaemon_ArePrinted()
    {
        string status = JsonSerializer.Serialize(SampleStatus.Create(), StatusJson.Default.StatusDocument);
        Task served = OneAnswer.ServeAsync(SocketPath, "200 OK", status, LocalApi.StatusPath);
        Assert.Equal(0, await StatusCommand.PeersAsync(SocketPath, asJson: true, _output, _errors, CancellationToken.None));
        await served;
        File.Delete(SocketPath);
        JsonElement peer = JsonDocument.Parse(_output.ToString()).RootElement[0];
        Assert.Equal("192.0.2.2:4789", peer.GetProperty("endpoint").GetString());

        _output.GetStringBuilder().Clear();
        string routes = JsonSerializer.Serialize(new RouteListDocument("node-a", 4, SampleStatus.Create().Routes), StatusJson.Default.RouteListDocument);
        served = OneAnswer.ServeAsync(SocketPath, "200 OK", routes, LocalApi.RoutesPath);
        Assert.Equal(0, await StatusCommand.RoutesAsync(SocketPath, asJson: false, _output, _errors, CancellationToken.None));
        await served;
        Assert.Equal("""
              PREFIX         TO      SEGMENT  DIRECT  SOURCE              PRIORITY  METRIC  WHY
              10.244.2.0/24  node-b  pods     never   configured line 12        10       0  the only one to its prefix

            """, _output.ToString());
    }

    [Theory]
    [InlineData("10.1")]
    [InlineData("fe80::1%eth0")]
    [InlineData("[fd00::1]")]
    [InlineData("::ffff:10.0.0.1")]
    [InlineData("node-b")]
    public void RouteGet_NoAddress_IsRefusedWithTheRemedy(string text)
    {
        ProgramRun run = OverlayProgram.Run("route", "get", text);

        Assert.Equal(1, run.ExitCode);
        Assert.Contains($"'{text}' is no IP address; write it as 192.0.2.1 or 2001:db8::1", run.Errors, StringComparison.Ordinal);
    }

    private Task Serve(string status, string body, string query) => OneAnswer.ServeAsync(SocketPath, status, body, LocalApi.RouteLookupPath + query);

    private Task<int> GetAsync(string address, string? segment = null, bool asJson = false) =>
        RouteCommand.GetAsync(SocketPath, new RouteQuestion(IPAddress.Parse(address)) { Segment = segment }, asJson, _output, _errors, CancellationToken.None);
}
