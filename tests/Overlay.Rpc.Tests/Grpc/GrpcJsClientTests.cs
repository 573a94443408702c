using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Overlay.Rpc.Grpc;
using Overlay.Testing;

namespace Overlay.Rpc.Tests.Grpc;

/// <summary>Our server, called by grpc-js.</summary>
public sealed class GrpcJsClientTests(GrpcJsClientTests.Run run) : IClassFixture<GrpcJsClientTests.Run>
{
    [Theory]
    [InlineData("plain", GrpcStatusCode.Ok, "grüße")]
    [InlineData("error", GrpcStatusCode.FailedPrecondition, "größer als 100 %\n")]
    [InlineData("deadline", GrpcStatusCode.DeadlineExceeded, null)]
    [InlineData("cancel", GrpcStatusCode.Cancelled, null)]
    [InlineData("large", GrpcStatusCode.Ok, "size")]
    [InlineData("too large", GrpcStatusCode.ResourceExhausted, "message of 5242891 bytes is larger than the 4194304 that are received")]
    [InlineData("compressed", GrpcStatusCode.Unimplemented, "compression 'gzip' is not offered")]
    [InlineData("bug", GrpcStatusCode.Unknown, null)]
    [InlineData("stream", GrpcStatusCode.Ok, "")]
    [InlineData("stream error", GrpcStatusCode.DataLoss, "nothing more")]
    [InlineData("stream error at once", GrpcStatusCode.DataLoss, "nothing more")]
    [InlineData("stream cancel", GrpcStatusCode.Cancelled, null)]
    [InlineData("stream deadline", GrpcStatusCode.DeadlineExceeded, null)]
    [InlineData("unknown method", GrpcStatusCode.Unimplemented, "no method /overlay.test.Echo/Nothing")]
    [InlineData("unknown service", GrpcStatusCode.Unimplemented, "no method /overlay.test.Nothing/Say")]
    public void Call_ByGrpcJs_EndsWithTheStatus(string name, GrpcStatusCode status, string? message)
    {
        JsonElement result = run.Results[name];

        Assert.Equal(status, (GrpcStatusCode)result.GetProperty("code").GetInt32());
        if (message is not null) Assert.Equal(message, result.GetProperty("message").GetString());
    }

    [Theory]
    [InlineData("large", 3 << 20)]
    [InlineData("stream", 1000)]
    [InlineData("stream error", 3)]
    [InlineData("stream error at once", 0)]
    [InlineData("stream deadline", 2)]
    public void Call_ByGrpcJs_CarriesEveryMessage(string name, int number) =>
        Assert.Equal(number, run.Results[name].GetProperty("number").GetInt32());

    [Fact]
    public void Handlers_AfterDeadlineAndCancellation_WereToldOfEach() => Assert.Equal((3, 3), (run.Waiting, run.Cancelled));

    /// <summary>One run of all the cases.</summary>
    public sealed class Run : IAsyncLifetime
    {
        public Dictionary<string, JsonElement> Results { get; } = [];

        public int Waiting { get; private set; }

        public int Cancelled { get; private set; }

        public async Task InitializeAsync()
        {
            string folder = Directory.CreateTempSubdirectory("ovt-grpc-").FullName;
            var service = new EchoService();
            GrpcServer server = await GrpcServer.ListenAsync(Path.Combine(folder, "echo.sock"), service.Routes(), NullLoggerFactory.Instance);
            await using (server)
            {
                string scripts = Path.Combine(AppContext.BaseDirectory, "Grpc");
                ProgramRun node = await Task.Run(() => ProgramRun.Check(
                    "node", Path.Combine(scripts, "client.js"), $"unix:{folder}/echo.sock", Path.Combine(scripts, "echo.proto"), GrpcJs.Modules));
                foreach (string line in node.Lines)
                {
                    JsonElement result = JsonDocument.Parse(line).RootElement;
                    Results.Add(result.GetProperty("name").GetString()!, result);
                }
                await server.StopAsync(TimeSpan.FromSeconds(20));
            }
            (Waiting, Cancelled) = (service.Waiting, service.Cancelled);
            Directory.Delete(folder, recursive: true);
        }

        public Task DisposeAsync() => Task.CompletedTask;
    }
}
