using System.Globalization;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Mtu;

/// <summary>Reads with tcpdump(8) what MSS a connection's ends are offered.</summary>
internal static partial class OfferedMss
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    /// <summary>Opens a connection between the pods of two nodes and moves some bytes.</summary>
    /// <returns>The MSS in the SYN as the far pod gets it, and in the SYN-ACK as the near one does.</returns>
    public static async Task<(int Syn, int SynAck)> ReadAsync(LabNode near, LabNode far, AddressFamily family)
    {
        using RunningProcess syn = await StartAsync(far.Pod, family);
        using RunningProcess synAck = await StartAsync(near.Pod, family);
        await TcpCheck.RunAsync(near.Pod, far.Pod, family == AddressFamily.InterNetwork ? far.Pod4 : far.Pod6, streams: 1, bytes: 4 << 20);
        return (await OfferedAsync(syn), await OfferedAsync(synAck));
    }

    private static async Task<RunningProcess> StartAsync(NetworkNamespace pod, AddressFamily family)
    {
        string filter = family == AddressFamily.InterNetwork ? "tcp[tcpflags] & tcp-syn != 0" : "ip6[6] == 6 and ip6[53] & 2 != 0";
        RunningProcess tcpdump = pod.Start(["tcpdump", "-i", "eth0", "-Q", "in", "-n", "-l", "-v", "-c", "1", filter]);
        await tcpdump.WaitForTextAsync("listening on", Deadline);
        return tcpdump;
    }

    private static async Task<int> OfferedAsync(RunningProcess tcpdump)
    {
        Assert.Equal(0, await tcpdump.WaitForExitAsync(Deadline));
        Assert.Contains("(correct)", tcpdump.Output, StringComparison.Ordinal);
        return int.Parse(Mss().Match(tcpdump.Output).Groups[1].ValueSpan, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"\bmss (\d+)")]
    private static partial Regex Mss();
}
