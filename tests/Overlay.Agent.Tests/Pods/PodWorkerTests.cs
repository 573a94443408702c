using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using Overlay.Agent.Configuration;
using Overlay.Agent.Pods;
using Overlay.Agent.Tests.Configuration;

namespace Overlay.Agent.Tests.Pods;

/// <summary>Calls while the daemon starts: it listens, and wires nothing yet.</summary>
public sealed class PodWorkerTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-pods-").FullName;
    private PodWorker _worker = null!;

    public Task InitializeAsync()
    {
        PodsOptions options = SampleConfiguration.Read(SampleConfiguration.Text + $"pods:\n  segment: pods\n  ranges: [10.244.1.0/24]\n  socket: {_folder}/cni.sock\n  state: {_folder}/state\n").Pods!;
        _worker = PodWorker.Listen(new PodSettings(options, "node-a", "overlay0", ["overlay0"], 1450, []), null, _ => { }, NullLogger.Instance);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await _worker.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData("STATUS", 50)]
    [InlineData("ADD", 11)]
    [InlineData("CHECK", 11)]
    [InlineData("GC", 11)]
    public async Task Call_WhileStarting_IsPutOff(string command, int code)
    {
        byte[] answer = await CallAsync(command);

        Assert.Equal(1, BinaryPrimitives.ReadInt32BigEndian(answer));
        JsonNode error = JsonNode.Parse(answer.AsSpan(8))!;
        Assert.Equal(("1.1.0", code), ((string)error["cniVersion"]!, (int)error["code"]!));
        Assert.Contains("starting", (string)error["msg"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Delete_WhileStarting_IsBrokenOffForThePluginToLeaveOnDisk() => Assert.Empty(await CallAsync("DEL"));

    private async Task<byte[]> CallAsync(string command)
    {
        byte[] environment = Encoding.UTF8.GetBytes($"CNI_COMMAND={command}\0CNI_CONTAINERID=a\0CNI_NETNS=/n\0CNI_IFNAME=eth0\0");
        byte[] input = Encoding.UTF8.GetBytes("""{"cniVersion":"1.1.0","name":"overlay"}""");
        byte[] lengths = new byte[8];
        BinaryPrimitives.WriteInt32BigEndian(lengths, environment.Length);
        BinaryPrimitives.WriteInt32BigEndian(lengths.AsSpan(4), input.Length);
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint($"{_folder}/cni.sock"));
        await using var stream = new NetworkStream(socket);
        await stream.WriteAsync((byte[])[.. lengths, .. environment, .. input]);
        using var expired = new CancellationTokenSource(Deadline);
        using var answer = new MemoryStream();
        await stream.CopyToAsync(answer, expired.Token);
        return answer.ToArray();
    }
}
