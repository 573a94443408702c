using Overlay.Rpc;

namespace Overlay.Cli.Tests;

public sealed class StatusReportTests
{
    [Fact]
    public void Write_Everything_IsAlignedTables()
    {
        const string expected = """
            node-a: overlayd 1.2.3, ready, up 1d 2h 3m, configuration revision 4

            UNDERLAY
              interface  eth0
              addresses  192.0.2.1, 2001:db8::1
              mtu        1500
              listens    vxlan 4789, geneve 6081
              egress     udp-gso (configured)
              refused    UDP_GRO: not supported

            SEGMENTS
              NAME  KIND    DEVICE         VNI  ENCAPSULATION    EGRESS    MTU  MAC                ADDRESSES      OFFLOADS
              pods  routed  overlay0        42  vxlan            udp-gso  1450  02:00:00:00:00:01  10.244.1.0/32  checksum, tso4
              lab   routed  overlay1  16777215  geneve, bare IP  udp-gso  1400  02:00:00:00:00:11  -              -
              overlay0: overlay0 refuses USO

            QUEUES
              QUEUE  SEGMENT  DIRECTION  PACKETS IN  PACKETS OUT  ANSWERED  REPLICATED  DROPPED  ICMP ERRORS  BYTES OUT  SUPER-PACKETS
                  0  pods     egress             12           10         1           0        1            1     1000 B              1
                  0  pods     ingress             7            7         -           -        0            -      700 B              2
                  0  (none)   ingress         1,234            0         -           -    1,234            -        0 B              0

            PEERS
              NAME    ENDPOINT        MAC                PACKETS SENT  BYTES SENT  PACKETS RECEIVED  BYTES RECEIVED  PATH MTU  KNOWN BY
              node-b  192.0.2.2:4789  02:00:00:00:00:02            10     1.5 KiB         1,234,567         5.0 TiB      1400  probes
              ALARM: black hole on the way to node-b: packets of more than 1400 bytes are lost without an ICMP error, and 1500 leave this host

            ROUTES
              PREFIX         TO      SEGMENT  DIRECT  SOURCE              PRIORITY  METRIC  WHY
              10.244.2.0/24  node-b  pods     never   configured line 12        10       0  the only one to its prefix
              and 4,999 more: overlay routes

            DROPS
              PACKETS  REASON                MEANING
                    1  egress-no-route       no route covers the destination
                1,234  ingress-unknown-peer  unknown sender

            """;

        Assert.Equal(expected, Render(SampleStatus.Create() with { RouteCount = 5000 }));
    }

    [Fact]
    public void Write_PeerWhoseRouteLeadsBack_IsAnAlarm()
    {
        StatusDocument status = SampleStatus.Create();
        PeerStatus peer = Assert.Single(status.Peers);

        string text = Render(status with { Peers = [peer with { Path = peer.Path with { LeadsBack = true } }] });

        Assert.Contains("  ALARM: the host's route to node-b leads back into the overlay: nothing is sent to it", text, StringComparison.Ordinal);
        Assert.DoesNotContain("leads back", Render(status), StringComparison.Ordinal);
    }

    [Fact]
    public void Write_NothingConfigured_SaysNone()
    {
        StatusDocument status = SampleStatus.Create() with { Ready = false, UptimeSeconds = 59.9, Peers = [], Routes = [], RouteCount = 0, Queues = [] };

        string text = Render(status);

        Assert.StartsWith("node-a: overlayd 1.2.3, not ready, up 59s,", text, StringComparison.Ordinal);
        Assert.Contains("PEERS\n  none\n\nROUTES\n  none\n\nDROPS\n  none\n", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(61, "up 1m 1s")]
    [InlineData(3600, "up 1h 0m 0s")]
    public void Write_Uptime_IsInTheUnitsPeopleSay(double seconds, string expected)
    {
        Assert.Contains(expected, Render(SampleStatus.Create() with { UptimeSeconds = seconds }), StringComparison.Ordinal);
    }

    private static string Render(StatusDocument status)
    {
        var output = new StringWriter { NewLine = "\n" };
        StatusReport.Write(status, output);
        return output.ToString();
    }
}
