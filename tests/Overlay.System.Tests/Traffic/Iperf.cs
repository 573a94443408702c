using System.Text.Json;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Traffic;

/// <summary>iperf3(1) between two namespaces.</summary>
internal static class Iperf
{
    private const int Port = 5201;
    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(15);

    /// <returns>Bits per second that arrived.</returns>
    public static async Task<double> TcpAsync(NetworkNamespace from, NetworkNamespace to, string address, int seconds)
    {
        JsonElement report = await RunAsync(from, to, address, seconds);
        return report.GetProperty("end").GetProperty("sum_received").GetProperty("bits_per_second").GetDouble();
    }

    /// <summary>One stream, of which <paramref name="during"/> may change what is beneath.</summary>
    /// <returns>Bits per second of each second, as sent.</returns>
    public static async Task<IReadOnlyList<double>> TcpAsync(NetworkNamespace from, NetworkNamespace to, string address, int seconds, Func<Task> during)
    {
        Task<JsonElement> run = RunAsync(from, to, address, seconds);
        await during();
        Assert.False(run.IsCompleted, "iperf3 ended before all was changed");
        return [.. (await run).GetProperty("intervals").EnumerateArray().Select(interval => interval.GetProperty("sum").GetProperty("bits_per_second").GetDouble())];
    }

    /// <param name="rate">Bits per second to send.</param>
    /// <returns>Datagrams sent and lost.</returns>
    public static async Task<(long Sent, long Lost)> UdpAsync(
        NetworkNamespace from, NetworkNamespace to, string address, int seconds, long rate)
    {
        JsonElement report = await RunAsync(from, to, address, seconds, "-u", "-b", $"{rate}");
        JsonElement sum = report.GetProperty("end").GetProperty("sum");
        return (sum.GetProperty("packets").GetInt64(), sum.GetProperty("lost_packets").GetInt64());
    }

    private static async Task<JsonElement> RunAsync(
        NetworkNamespace from, NetworkNamespace to, string address, int seconds, params string[] arguments)
    {
        using RunningProcess server = to.Start(["iperf3", "--server", "--one-off", "--forceflush", "--port", $"{Port}", "--bind", address]);
        await server.WaitForTextAsync("Server listening", Slack);
        CommandResult client = await from.RunAsync(
            TimeSpan.FromSeconds(seconds) + Slack,
            ["iperf3", "--client", address, "--port", $"{Port}", "--time", $"{seconds}", "--json", .. arguments]);
        if (client.ExitCode != 0) throw new InvalidOperationException($"{client.Transcript}{server.Transcript}");
        using JsonDocument document = JsonDocument.Parse(client.Output);
        return document.RootElement.Clone();
    }
}
