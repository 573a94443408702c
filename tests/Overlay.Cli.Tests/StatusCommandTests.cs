using System.Net.Sockets;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.Cli.Tests;

public sealed class StatusCommandTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("overlay-cli-");
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();

    private string SocketPath => Path.Combine(_folder.FullName, "d.sock");

    public void Dispose()
    {
        _folder.Delete(recursive: true);
        _output.Dispose();
        _errors.Dispose();
    }

    [Fact]
    public async Task RunAsync_AsJson_PrintsWhatTheDaemonAnswered()
    {
        string document = JsonSerializer.Serialize(SampleStatus.Create(), StatusJson.Default.StatusDocument);
        Task served = OneAnswer.ServeAsync(SocketPath, $"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {document.Length}\r\n\r\n{document}");

        int code = await StatusCommand.RunAsync(SocketPath, asJson: true, _output, _errors, CancellationToken.None);

        await served;
        Assert.Equal((0, ""), (code, _errors.ToString()));
        Assert.Equal(document, _output.ToString().TrimEnd());
    }

    [Fact]
    public async Task RunAsync_NoSocket_SaysSoWithTheRemedy()
    {
        Assert.Equal(1, await RunAsync());

        Assert.Equal($"overlay: there is no socket {SocketPath}; start overlayd, or name its 'api: socket:' with --socket\n", _errors.ToString());
    }

    [Fact]
    public async Task RunAsync_NobodyListens_SaysSo()
    {
        using (var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            socket.Bind(new UnixDomainSocketEndPoint(SocketPath));
            Assert.Equal(1, await RunAsync());
        }

        Assert.Equal($"overlay: nobody listens on {SocketPath}; start overlayd\n", _errors.ToString());
    }

    [Fact]
    public async Task RunAsync_DaemonNotReady_SaysWhatItAnswered()
    {
        Task served = OneAnswer.ServeAsync(SocketPath, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");

        Assert.Equal(1, await RunAsync());

        await served;
        Assert.Contains("answered 503 Service Unavailable", _errors.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("no json")]
    [InlineData("null")]
    public async Task RunAsync_SomethingElseAnswers_IsAnError(string body)
    {
        Task served = OneAnswer.ServeAsync(SocketPath, $"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");

        Assert.Equal(1, await RunAsync());

        await served;
        Assert.StartsWith("overlay: ", _errors.ToString(), StringComparison.Ordinal);
        Assert.Equal("", _output.ToString());
    }

    [Fact]
    public async Task RunAsync_PathTooLongForASocket_SaysTheLimit()
    {
        Assert.Equal(1, await StatusCommand.RunAsync("/" + new string('x', 107), asJson: false, _output, _errors, CancellationToken.None));

        Assert.Contains("use a path of 1 to 107 bytes", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Serialize_Status_HasTheKeysThatScriptsRead()
    {
        JsonElement json = JsonSerializer.SerializeToElement(SampleStatus.Create(), StatusJson.Default.StatusDocument);

        Assert.Equal("udp-gso", json.GetProperty("underlay").GetProperty("mode").GetString());
        Assert.Equal(10, json.GetProperty("queues")[0].GetProperty("egressOut").GetProperty("packets").GetInt64());
        Assert.Equal(JsonValueKind.Null, json.GetProperty("queues")[1].GetProperty("segment").ValueKind);
        Assert.Equal(1, json.GetProperty("queues")[0].GetProperty("drops").GetProperty("egress-no-route").GetInt64());
        Assert.Equal(5L << 40, json.GetProperty("peers")[0].GetProperty("ingress").GetProperty("bytes").GetInt64());
    }

    private Task<int> RunAsync() => StatusCommand.RunAsync(SocketPath, asJson: false, _output, _errors, CancellationToken.None);
}
