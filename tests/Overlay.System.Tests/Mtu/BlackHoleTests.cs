using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Mtu;

/// <summary>Three hops, the middle one smaller, and no ICMP: what is too big vanishes.</summary>
public sealed class BlackHoleTests(DaemonPair<RoutedPath> pair)
    : BlackHoleChecks(pair.Network, pair.DaemonA, pair.DaemonB), IClassFixture<DaemonPair<RoutedPath>>;

/// <summary>The same with IPv6 outside.</summary>
public sealed class BlackHoleOverIpv6Tests(DaemonPair<RoutedPathIpv6> pair)
    : BlackHoleChecks(pair.Network, pair.DaemonA, pair.DaemonB), IClassFixture<DaemonPair<RoutedPathIpv6>>;

/// <summary>What both have in common.</summary>
public abstract class BlackHoleChecks
{
    private const int Path = 1500;
    private const int SmallerPath = 1400;
    private const int SmallestPath = 1333;
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly LabNetwork _network;
    private readonly OverlayDaemon _near;
    private readonly OverlayDaemon _far;

    private protected BlackHoleChecks(LabNetwork network, OverlayDaemon near, OverlayDaemon far)
    {
        _network = network;
        _near = near;
        _far = far;
    }

    [Fact]
    public async Task Path_SmallerWithoutIcmp_IsFoundExactlyAndRaisesTheAlarm()
    {
        await UnderlayMtu.FoundAsync(SmallerPath, _near, _far);

        PathStatus path = (await _near.StatusAsync()).Peers[0].Path;
        Assert.Equal((Path, "probes", true), (path.LinkMtu, path.Evidence, path.BlackHole));
        int alarms = Alarms();
        Assert.NotEqual(0, alarms);
        while ((await _near.StatusAsync()).Peers[0].Path.ProbesSent < path.ProbesSent + 2) Assert.Equal(alarms, Alarms());
        Assert.Equal(alarms, Alarms());
        string peers = await Command.CheckAsync(TimeSpan.FromSeconds(20), null, Repository.Client, "peers", "--socket", _near.Socket);
        Assert.Contains("ALARM: black hole on the way to node-b: packets of more than 1400 bytes are lost", peers, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(AddressFamily.InterNetwork)]
    [InlineData(AddressFamily.InterNetworkV6)]
    public async Task Tcp_BulkOverSmallerPath_StartsWithinASecondAndRetransmitsNothing(AddressFamily family)
    {
        await UnderlayMtu.FoundAsync(SmallerPath, _near, _far);
        string to = family == AddressFamily.InterNetwork ? _network.B.Pod4 : _network.B.Pod6;
        using Socket listener = await _network.B.Pod.OpenAsync(() => Listen(IPAddress.Parse(to)));
        using Socket client = await _network.A.Pod.OpenAsync(() => new Socket(family, SocketType.Stream, ProtocolType.Tcp));
        client.SendTimeout = (int)Deadline.TotalMilliseconds;
        long retransmitted = await RetransmittedAsync();

        var clock = Stopwatch.StartNew();
        await client.ConnectAsync(listener.LocalEndPoint!);
        using Socket server = await listener.AcceptAsync();
        server.ReceiveTimeout = (int)Deadline.TotalMilliseconds;
        Task<TimeSpan> received = Task.Run(() => ReceiveAll(server, 1 << 20, clock));
        client.Send(new byte[1 << 20]);

        Assert.InRange(await received, TimeSpan.Zero, Start);
        Assert.Equal(retransmitted, await RetransmittedAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Tcp_MiddleLoweredAndRaisedWhileItRuns_StreamGoesOnAndThePathIsFoundEachTime(bool ipv4)
    {
        using var stop = new CancellationTokenSource();
        Task stream = TcpCheck.RunAsync(_network.A.Pod, _network.B.Pod, ipv4 ? _network.B.Pod4 : _network.B.Pod6, stop.Token);
        try
        {
            foreach (int mtu in (int[])[SmallestPath, Path, SmallerPath])
            {
                await UnderlayMtu.SetMiddleAsync(_network, mtu, _near, _far);
                await RunningStream.FlowAsync(stream, _near, _far);
                Assert.Equal(mtu < Path, (await _near.StatusAsync()).Peers[0].Path.BlackHole);
            }
        }
        finally
        {
            await stop.CancelAsync();
        }
        await stream;
    }

    private int Alarms() => _near.Log.Split('\n').Count(line => line.Contains("black hole on the way to peer node-b", StringComparison.Ordinal)
        && line.Contains("more than 1400 bytes are lost", StringComparison.Ordinal));

    /// <summary>
    /// What TCP sent again for a loss, in each of the ways it finds one out. A probe for an acknowledgement that is late on a busy machine (RFC
    /// 8985, 7) counts only where it repaired a loss.
    /// </summary>
    private async Task<long> RetransmittedAsync()
    {
        string[] repairs = ["TcpExtTCPFastRetrans", "TcpExtTCPSlowStartRetrans", "TcpExtTCPTimeouts", "TcpExtTCPLossProbeRecovery", "TcpExtTCPSynRetrans"];
        string[][] counters = [.. (await _network.A.Pod.CheckAsync(["nstat", "-asz", .. repairs])).Split('\n')
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))];
        return repairs.Sum(repair => long.Parse(counters.Single(line => line.FirstOrDefault() == repair)[1], CultureInfo.InvariantCulture));
    }

    private static TimeSpan ReceiveAll(Socket socket, int bytes, Stopwatch clock)
    {
        byte[] buffer = new byte[1 << 16];
        while (bytes > 0)
        {
            int length = socket.Receive(buffer);
            Assert.NotEqual(0, length);
            bytes -= length;
        }
        return clock.Elapsed;
    }

    private static Socket Listen(IPAddress address)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(address, 0));
        socket.Listen();
        return socket;
    }
}
