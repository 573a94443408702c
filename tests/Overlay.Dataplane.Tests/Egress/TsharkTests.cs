using System.Globalization;
using Overlay.Dataplane.Tests.Tunnels;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Testing.Captures;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Egress;

/// <summary>What leaves, read by a decoder that is not ours and checks every checksum.</summary>
public sealed class TsharkTests
{
    private static readonly string[] Fields =
    [
        "vxlan.vni", "geneve.vni", "ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "tcp.analysis.lost_segment", "_ws.expert.message",
    ];

    [Theory]
    [MemberData(nameof(Formats.Names), MemberType = typeof(Formats))]
    public void Process_SuperPacketsOfEveryKind_TsharkFindsEveryDatagramValid(string format)
    {
        var lab = new EgressLab(format: Formats.Of(format));
        string protocol = Formats.Of(format).Encapsulation == Encapsulation.Geneve ? "geneve" : "vxlan";
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

        using var capture = new CaptureOnDisk(PcapFile.Write([.. lab.Underlay.Sent.SelectMany(sent => sent.Datagrams).Select(OnTheWire)]));
        IReadOnlyList<string[]> rows = Tshark.ReadFields(capture.Path, Fields, "-d", $"udp.port=={VxlanHeader.DefaultPort},{protocol}");
        Assert.Equal(expected, rows.Count);
        Assert.All(rows, row =>
        {
            Assert.Equal(protocol == "vxlan" ? EgressLab.Vni.ToString(CultureInfo.InvariantCulture) : $"0x{EgressLab.Vni:x6}", row[0] + row[1]);
            string[] statuses = [.. row[2..5].SelectMany(field => field.Split(',', StringSplitOptions.RemoveEmptyEntries))];
            Assert.InRange(statuses.Length, 3, 4);
            Assert.All(statuses, status => Assert.Equal(Tshark.Good, status));
            Assert.Equal("", row[5]);
            Assert.DoesNotContain("Malformed", row[6], StringComparison.Ordinal);
        });
    }

    /// <summary>The frame that carries a datagram between two nodes, its checksums finished.</summary>
    private static byte[] OnTheWire(byte[] datagram)
    {
        byte[] frame = new byte[14 + 20 + 8 + datagram.Length];
        EthernetFrame.WriteHeader(frame, new MacAddress([2, 0, 0, 0, 1, 2]), new MacAddress([2, 0, 0, 0, 1, 1]), EtherTypes.Ipv4);
        var ip = new Ipv4Fields
        {
            TotalLength = frame.Length - 14,
            TimeToLive = 64,
            Protocol = IpProtocols.Udp,
            Source = 0xc0000201,
            Destination = 0xc0000202,
        };
        Ipv4Packet.WriteHeader(frame.AsSpan(14), ip);
        datagram.CopyTo(frame, 42);
        Span<byte> udp = frame.AsSpan(34);
        UdpHeader.Write(udp, 50_000, VxlanHeader.DefaultPort, udp.Length);
        ulong sum = InternetChecksum.Add(udp, InternetChecksum.PseudoHeaderV4(ip.Source, ip.Destination, IpProtocols.Udp, udp.Length));
        InternetChecksum.Store(udp[UdpHeader.ChecksumOffset..], InternetChecksum.FinishUdp(sum));
        return frame;
    }
}
