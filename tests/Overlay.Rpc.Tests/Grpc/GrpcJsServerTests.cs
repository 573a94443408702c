using System.Diagnostics;
using Google.Protobuf;
using Overlay.Rpc.Grpc;
using Overlay.Testing;

namespace Overlay.Rpc.Tests.Grpc;

/// <summary>Our client, against a server of grpc-js.</summary>
public sealed class GrpcJsServerTests(GrpcJsServerTests.Server server) : IClassFixture<GrpcJsServerTests.Server>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task CallAsync_OfAnyText_ReturnsIt()
    {
        Line response = await server.Channel.CallAsync(EchoService.Say, new Line { Text = "grüße", Padding = ByteString.CopyFrom(new byte[900_000]) }, Patience);

        Assert.Equal(("grüße", 900_000), (response.Text, response.Padding.Length));
    }

    [Fact]
    public async Task CallAsync_WhereTheServerRefuses_ThrowsItsStatusAndMessage()
    {
        GrpcException refused = await Refused(server.Channel.CallAsync(EchoService.Say, new Line { Text = "fail" }, Patience));

        Assert.Equal((GrpcStatusCode.OutOfRange, "zu groß: 100 %\n"), (refused.Status, refused.Message));
    }

    [Fact]
    public async Task CallAsync_OfMoreThanTheServerTakes_ThrowsResourceExhausted()
    {
        var line = new Line { Padding = ByteString.CopyFrom(new byte[2 << 20]) };

        Assert.Equal(GrpcStatusCode.ResourceExhausted, (await Refused(server.Channel.CallAsync(EchoService.Say, line, Patience))).Status);
    }

    [Fact]
    public async Task CallAsync_WithATimeout_TellsTheServer()
    {
        Line response = await server.Channel.CallAsync(EchoService.Say, new Line { Text = "deadline" }, TimeSpan.FromSeconds(50));

        Assert.InRange(double.Parse(response.Text, System.Globalization.CultureInfo.InvariantCulture), 20_000, 50_000);
    }

    [Fact]
    public async Task CallAsync_PastItsDeadline_ThrowsDeadlineExceeded() => Assert.Equal(
        GrpcStatusCode.DeadlineExceeded,
        (await Refused(server.Channel.CallAsync(EchoService.Say, new Line { Text = "wait" }, TimeSpan.FromMilliseconds(200)))).Status);

    [Fact]
    public async Task StreamAsync_OfManyMessages_YieldsThemInOrder()
    {
        var numbers = new List<int>();
        await foreach (Line line in server.Channel.StreamAsync(EchoService.Count, new Line { Number = 1000 }, Patience)) numbers.Add(line.Number);

        Assert.Equal(Enumerable.Range(1, 1000), numbers);
    }

    [Fact]
    public async Task StreamAsync_ThatFailsAtItsEnd_ThrowsAfterTheMessages()
    {
        int received = 0;
        GrpcException refused = await Refused(Drain(new Line { Text = "fail", Number = 3 }, () => received++));

        Assert.Equal((GrpcStatusCode.Aborted, "at the end"), (refused.Status, refused.Message));
        Assert.Equal(3, received);
    }

    [Fact]
    public async Task StreamAsync_CancelledByTheCaller_EndsTheWait()
    {
        using var cancellation = new CancellationTokenSource();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Drain(new Line { Text = "wait", Number = 2 }, cancellation.Cancel, cancellation.Token));
    }

    [Fact]
    public async Task CallAsync_WhereNobodyListens_ThrowsUnavailable()
    {
        using GrpcChannel nobody = GrpcChannel.ToSocket("/run/ovt-nobody.sock");

        Assert.Equal(GrpcStatusCode.Unavailable, (await Refused(nobody.CallAsync(EchoService.Say, new Line(), Patience))).Status);
    }

    private static Task<GrpcException> Refused(Task call) => Assert.ThrowsAsync<GrpcException>(() => call);

    private async Task Drain(Line request, Action received, CancellationToken cancellation = default)
    {
        await foreach (Line _ in server.Channel.StreamAsync(EchoService.Count, request, Patience, cancellation)) received();
    }

    /// <summary>A server of grpc-js that ends with its standard input.</summary>
    public sealed class Server : IAsyncLifetime
    {
        private readonly string _folder = Directory.CreateTempSubdirectory("ovt-grpc-").FullName;
        private Process? _node;

        public GrpcChannel Channel { get; private set; } = null!;

        public async Task InitializeAsync()
        {
            string scripts = Path.Combine(AppContext.BaseDirectory, "Grpc");
            string socket = Path.Combine(_folder, "echo.sock");
            string[] arguments = [Path.Combine(scripts, "server.js"), socket, Path.Combine(scripts, "echo.proto"), GrpcJs.Modules];
            _node = Process.Start(new ProcessStartInfo("node", arguments) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
            Assert.Equal("listening", await _node.StandardOutput.ReadLineAsync().WaitAsync(Patience));
            Channel = GrpcChannel.ToSocket(socket);
        }

        public async Task DisposeAsync()
        {
            Channel.Dispose();
            _node!.StandardInput.Close();
            await _node.WaitForExitAsync().WaitAsync(Patience);
            _node.Dispose();
            Directory.Delete(_folder, recursive: true);
        }
    }
}
