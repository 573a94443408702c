using System.Buffers.Binary;
using System.Diagnostics;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

/// <summary>What leaves, read by a decoder that is not ours and checks every checksum.</summary>
public sealed class TsharkTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Process_SuperPacketsOfEveryKind_TsharkFindsEveryDatagramValid()
    {
        var lab = new EgressLab();
        int expected = 0;
        var random = new Random(1);
        foreach (bool isIpv6 in new[] { false, true })
        {
            foreach (bool isUdp in new[] { false, true })
            {
                foreach (int payload in new[] { 1, 1398, 1399, 40_001, 65_000 })
                {
                    var frame = new InnerFrame
                    {
                        IsIpv6 = isIpv6,
                        IsUdp = isUdp,
                        Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
                        Destination = isIpv6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
                        SourcePort = (ushort)(30_000 + payload),
                        Payload = new byte[payload],
                        Ipv6Extension = payload == 40_001 ? 8 : 0,
                        Ipv4Options = payload == 40_001 ? [1, 1, 1, 0] : [],
                        Flags = TcpFlags.Ack | TcpFlags.Psh,
                    };
                    random.NextBytes(frame.Payload);
                    lab.Deliver(frame.Unfinished(), frame.Offload(1398));
                    expected += (payload + 1397) / 1398;
                }
            }
        }
        lab.Run();

        string[] lines = await Dissect(lab.Underlay.Sent.SelectMany(sent => sent.Datagrams));
        Assert.Equal(expected, lines.Length);
        Assert.All(lines, line =>
        {
            string[] fields = line.Split('\t');
            Assert.Equal(EgressLab.Vni.ToString(System.Globalization.CultureInfo.InvariantCulture), fields[0]);
            string[] statuses = [.. fields[1..4].SelectMany(field => field.Split(',', StringSplitOptions.RemoveEmptyEntries))];
            Assert.InRange(statuses.Length, 3, 4);
            Assert.All(statuses, status => Assert.Equal("1", status));
            Assert.Equal("", fields[4]);
            Assert.DoesNotContain("Malformed", fields[5], StringComparison.Ordinal);
        });
    }

    private static async Task<string[]> Dissect(IEnumerable<byte[]> datagrams)
    {
        string file = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(file, Capture(datagrams));
            var start = new ProcessStartInfo("tshark")
            {
                RedirectStandardOutput = true,
                ArgumentList =
                {
                    "-r", file, "-d", $"udp.port=={VxlanHeader.DefaultPort},vxlan",
                    "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
                    "-T", "fields", "-e", "vxlan.vni", "-e", "ip.checksum.status", "-e", "tcp.checksum.status", "-e", "udp.checksum.status",
                    "-e", "tcp.analysis.lost_segment", "-e", "_ws.expert.message",
                },
            };
            using Process tshark = Process.Start(start)!;
            using var deadline = new CancellationTokenSource(Deadline);
            string output = await tshark.StandardOutput.ReadToEndAsync(deadline.Token);
            await tshark.WaitForExitAsync(deadline.Token);
            Assert.Equal(0, tshark.ExitCode);
            return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>A capture file of Ethernet frames, as libpcap writes it, the datagrams between two nodes.</summary>
    private static byte[] Capture(IEnumerable<byte[]> datagrams)
    {
        var file = new MemoryStream();
        foreach (uint word in new uint[] { 0xa1b2c3d4, 0x0004_0002, 0, 0, 262_144, 1 }) Write(file, word);
        foreach (byte[] datagram in datagrams)
        {
            byte[] frame = new byte[14 + 20 + 8 + datagram.Length];
            EthernetFrame.WriteHeader(frame, new MacAddress([2, 0, 0, 0, 1, 2]), new MacAddress([2, 0, 0, 0, 1, 1]), EtherTypes.Ipv4);
            var ip = new Ipv4Fields { TotalLength = frame.Length - 14, TimeToLive = 64, Protocol = IpProtocols.Udp, Source = 0xc0000201, Destination = 0xc0000202 };
            Ipv4Packet.WriteHeader(frame.AsSpan(14), ip);
            datagram.CopyTo(frame, 42);
            Span<byte> udp = frame.AsSpan(34);
            UdpHeader.Write(udp, 50_000, VxlanHeader.DefaultPort, udp.Length);
            ulong sum = InternetChecksum.Add(udp, InternetChecksum.PseudoHeaderV4(ip.Source, ip.Destination, IpProtocols.Udp, udp.Length));
            InternetChecksum.Store(udp[UdpHeader.ChecksumOffset..], InternetChecksum.FinishUdp(sum));
            Write(file, 0);
            Write(file, 0);
            Write(file, (uint)frame.Length);
            Write(file, (uint)frame.Length);
            file.Write(frame);
        }
        return file.ToArray();
    }

    private static void Write(MemoryStream file, uint word)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, word);
        file.Write(bytes);
    }
}
