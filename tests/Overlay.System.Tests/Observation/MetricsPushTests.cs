using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.SystemTests.Daemon;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Observation;

/// <summary>A daemon that pushes its metrics to a collector by OTLP over HTTP, and is scraped beside it.</summary>
public sealed class MetricsPushTests
{
    private const string Sections = """
        metrics:
          listen: "127.0.0.1:9479"
          peerLimit: 1
          otlp: { endpoint: "http://127.0.0.1:4318", protocol: http, intervalSeconds: 1 }

        """;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Metrics_WithACollectorAndAPeerLimit_ArePushedAsTheyAreScrapedAndBounded()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        using Socket collector = await node.Host.OpenAsync(() =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.Loopback, 4318));
            socket.Listen();
            return socket;
        });
        node.Write(LoneNode.Configuration + Sections);
        RunningProcess daemon = await node.StartAsync();

        (string head, byte[] body) = await ReceiveAsync(collector).WaitAsync(Deadline);
        string scraped = (await MonitoringClient.GetAsync(node.Host, "127.0.0.1:9479", "/metrics")).Text;
        await LoneNode.TerminateAsync(daemon);

        Assert.StartsWith("POST /v1/metrics HTTP/1.1\r\n", head, StringComparison.Ordinal);
        OtlpMetrics pushed = OtlpMetrics.Parse(body);
        Assert.Equal(("overlayd", "node-a"), (pushed.Resource["service.name"], pushed.Resource["service.instance.id"]));
        OtlpMetric dropped = pushed.Metrics["overlay.dropped.packets"];
        Assert.Equal(("{packet}", true, true), (dropped.Unit, dropped.IsMonotonic, dropped.IsCumulative));
        Assert.Contains(dropped.Points, point => point.Tags["segment"] == "pods" && point.Tags["reason"] == "egress-no-route");
        Assert.Equal(Series(scraped, "overlay_dropped_packets_total"), dropped.Points.Count);
        Assert.Equal(1500, Assert.Single(pushed.Metrics["overlay.peer.path_mtu"].Points).Value);

        // One of the two peers has series of its own, whatever they are scraped or pushed by.
        Assert.Equal(4, Series(scraped, "overlay_peer_packets_total"));
        Assert.Equal(["(others)", "node-b"], pushed.Metrics["overlay.peer.packets"].Points.Select(point => point.Tags["peer"]).Distinct().Order(StringComparer.Ordinal));
        Assert.DoesNotContain("node-c", scraped, StringComparison.Ordinal);
    }

    private static int Series(string scraped, string name) => scraped.Split('\n').Count(line => line.StartsWith($"{name}{{", StringComparison.Ordinal));

    /// <summary>One request, which is answered.</summary>
    private static async Task<(string Head, byte[] Body)> ReceiveAsync(Socket collector)
    {
        using Socket client = await collector.AcceptAsync();
        var bytes = new List<byte>();
        byte[] buffer = new byte[65_536];
        for (int end = -1, length = 0; end < 0 || bytes.Count < end + 4 + length;)
        {
            int read = await client.ReceiveAsync(buffer);
            if (read == 0) throw new EndOfStreamException($"the request ended after {bytes.Count} bytes");
            bytes.AddRange(buffer[..read]);
            string text = Encoding.Latin1.GetString([.. bytes]);
            end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            if (end < 0) continue;
            length = int.Parse(text[..end].Split("\r\n").Single(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase)).Split(':')[1], CultureInfo.InvariantCulture);
        }
        await client.SendAsync(Encoding.ASCII.GetBytes("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        int split = Encoding.Latin1.GetString([.. bytes]).IndexOf("\r\n\r\n", StringComparison.Ordinal);
        return (Encoding.Latin1.GetString([.. bytes[..split]]), [.. bytes[(split + 4)..]]);
    }
}
