using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using OpenTelemetry.Metrics;
using Overlay.Agent.Configuration;
using Overlay.Agent.Metrics;

namespace Overlay.Agent.Tests.Metrics;

public sealed class OtlpExportTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Start_CollectorOverHttp_IsPushedTheNodesMetrics()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var endpoint = new Uri($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");
        Task<string> request = ReceiveAsync(listener);
        using var meter = new Meter(NodeMetrics.MeterName);
        meter.CreateObservableCounter("overlay.segment.packets", () => 4711L);

        using (MeterProvider provider = OtlpExport.Start(new OtlpOptions(new(endpoint, 1), new(OtlpProtocol.Http, 1), new(3600, 1)), "node-a", "1.2.3", peerLimit: 500))
            provider.ForceFlush(5000);

        string text = await request.WaitAsync(Deadline);
        Assert.StartsWith("POST /v1/metrics HTTP/1.1\r\n", text, StringComparison.Ordinal);
        Assert.Contains("application/x-protobuf", text, StringComparison.Ordinal);
        foreach (string word in new[] { "overlay.segment.packets", "service.instance.id", "node-a", "overlayd", "1.2.3" }) Assert.Contains(word, text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_MoreSeriesThanOpenTelemetrysOwnLimit_PushesEachOfThem()
    {
        const int peers = 1500;
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var endpoint = new Uri($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");
        Task<string> request = ReceiveAsync(listener);
        using var meter = new Meter(NodeMetrics.MeterName);
        meter.CreateObservableCounter("overlay.peer.packets", () => Enumerable.Range(0, 2 * peers).Select(i =>
            new Measurement<long>(i, new("peer", $"peer-{i / 2:0000}"), new("direction", i % 2 == 0 ? "egress" : "ingress"))));

        using (MeterProvider provider = OtlpExport.Start(new OtlpOptions(new(endpoint, 1), new(OtlpProtocol.Http, 1), new(3600, 1)), "node-a", "1.2.3", peerLimit: peers))
            provider.ForceFlush(20_000);

        string text = await request.WaitAsync(Deadline);
        Assert.DoesNotContain("otel.metric.overflow", text, StringComparison.Ordinal);
        Assert.All(Enumerable.Range(0, peers), i => Assert.Contains($"peer-{i:0000}", text, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Start_CollectorOverGrpc_IsPushedTheNodesMetrics()
    {
        var requests = new TaskCompletionSource<(string Path, string? Type, string Body)>(TaskCreationOptions.RunContinuationsAsynchronously);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(options => options.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2));
        await using WebApplication collector = builder.Build();
        collector.Run(async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            context.Response.ContentType = "application/grpc";
            context.Response.AppendTrailer("grpc-status", "0");
            // An empty message: not compressed, no bytes.
            await context.Response.Body.WriteAsync(new byte[5]);
            requests.TrySetResult((context.Request.Path, context.Request.ContentType, Encoding.Latin1.GetString(body.ToArray())));
        });
        await collector.StartAsync();
        using var meter = new Meter(NodeMetrics.MeterName);
        meter.CreateObservableCounter("overlay.segment.packets", () => 4711L);

        using (MeterProvider provider = OtlpExport.Start(new OtlpOptions(new(new Uri(collector.Urls.Single()), 1), new(OtlpProtocol.Grpc, 1), new(3600, 1)), "node-a", "1.2.3", peerLimit: 500))
            provider.ForceFlush(5000);

        (string path, string? type, string message) = await requests.Task.WaitAsync(Deadline);
        Assert.Equal(("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "application/grpc"), (path, type));
        foreach (string word in new[] { "overlay.segment.packets", "service.instance.id", "node-a", "overlayd", "1.2.3" }) Assert.Contains(word, message, StringComparison.Ordinal);
    }

    /// <summary>One request, as bytes of Latin-1; it is answered.</summary>
    private static async Task<string> ReceiveAsync(TcpListener listener)
    {
        using TcpClient client = await listener.AcceptTcpClientAsync();
        NetworkStream stream = client.GetStream();
        var text = new StringBuilder();
        byte[] buffer = new byte[65_536];
        while (!IsComplete(text.ToString()))
        {
            int read = await stream.ReadAsync(buffer);
            if (read == 0) break;
            text.Append(Encoding.Latin1.GetString(buffer, 0, read));
        }
        await stream.WriteAsync(Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        return text.ToString();
    }

    private static bool IsComplete(string text)
    {
        int end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        if (end < 0) return false;
        string length = text[..end].Split("\r\n").First(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase)).Split(':')[1];
        return text.Length - end - 4 >= int.Parse(length, System.Globalization.CultureInfo.InvariantCulture);
    }
}
