using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Observation;

/// <summary>The outer packets that <c>overlay capture</c> shows are those of the encapsulation and of the underlay's family, by tshark.</summary>
public sealed class CaptureFormatsTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData("vxlan", 4789, UnderlayFamily.Ipv6, "eth:ethertype:ipv6:udp:vxlan:eth:ethertype:ip:icmp:data")]
    [InlineData("geneve", 6081, UnderlayFamily.Ipv4, "eth:ethertype:ip:udp:geneve:eth:ethertype:ip:icmp:data")]
    [InlineData("ipip", 0, UnderlayFamily.Ipv4, "eth:ethertype:ip:ip:icmp:data")]
    [InlineData("ipip", 0, UnderlayFamily.Ipv6, "eth:ethertype:ipv6:ipv6.dstopts:ip:icmp:data")]
    public async Task Capture_OfAPing_HasTheOuterHeadersOfTheTunnel(string encapsulation, int port, UnderlayFamily family, string protocols)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        var tunnel = new TunnelOptions { Encapsulation = encapsulation };
        if (port > 0) tunnel = tunnel with { Port = port };
        OverlayDaemon daemon = await network.StartDaemonAsync(network.A, tunnel);
        await network.StartDaemonAsync(network.B, tunnel);
        string file = Path.Combine(Path.GetTempPath(), $"overlay-{Path.GetRandomFileName()}.pcapng");
        try
        {
            using RunningProcess capture = RunningProcess.Start(
                Repository.Client, ["capture", "--peer", network.B.Name, "--proto", "icmp", "--host", network.B.Pod4, "--count", "4", "-w", file, "--socket", daemon.Socket]);
            // The daemon begins the file once it captures.
            await Eventually.TrueAsync(() => Task.FromResult(File.Exists(file) && new FileInfo(file).Length > 0), Deadline, "a file is begun");

            PingResult ping = await Ping.RunAsync(network.A.Pod, network.B.Pod4);
            int code = await capture.WaitForExitAsync(Deadline);

            Assert.True(code == 0 && ping.Received == 1, capture.Transcript);
            List<string[][]> frames = await Tshark.FieldsAsync(
                file, "frame", "frame.interface_name", "frame.protocols", "frame.comment", "_ws.malformed", "ip.checksum.status", "udp.checksum.status", "icmp.checksum.status");
            Assert.Equal(["inner", "outer", "outer", "inner"], frames.Select(frame => frame[0][0]));
            // Of what is received a raw socket hides the outer extension headers.
            string received = protocols.Replace("ipv6.dstopts:", "", StringComparison.Ordinal);
            Assert.Equal(["eth:ethertype:ip:icmp:data", protocols, received, "eth:ethertype:ip:icmp:data"], frames.Select(frame => frame[1][0]));
            Assert.Equal(["forwarded", "forwarded", "delivered", "delivered"], frames.Select(frame => frame[2][0].Split("verdict=")[1]));
            Assert.All(frames, frame => Assert.All(frame[4..].SelectMany(statuses => statuses).Where(status => status.Length > 0), status => Assert.Equal(1, Tshark.Number(status))));
            Assert.All(frames, frame => Assert.True(frame[3] is [] or [""], capture.Transcript));
        }
        finally
        {
            File.Delete(file);
        }
    }
}
