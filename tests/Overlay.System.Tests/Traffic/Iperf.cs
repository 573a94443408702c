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

    /// <summary>One stream that runs while <paramref name="during"/> changes what is beneath, and ends with it.</summary>
    /// <returns>Bits per second of each whole second, as sent.</returns>
    public static async Task<IReadOnlyList<double>> TcpAsync(NetworkNamespace from, NetworkNamespace to, string address, Func<Task> during)
    {
        using RunningProcess server = await ServeAsync(to, address);
        using RunningProcess client = from.Start(["iperf3", "--client", address, "--port", $"{Port}", "--time", "0", "--json"]);
        await during();
        Assert.False(client.HasExited, client.Transcript);
        client.Signal(Libc.SignalInterrupt);
        await client.WaitForExitAsync(Slack);
        using JsonDocument report = JsonDocument.Parse(client.Output);
        return [.. report.RootElement.GetProperty("intervals").EnumerateArray().Select(interval => interval.GetProperty("sum"))
            .Where(sum => sum.GetProperty("seconds").GetDouble() > 0.9).Select(sum => sum.GetProperty("bits_per_second").GetDouble())];
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
        using RunningProcess server = await ServeAsync(to, address);
        CommandResult client = await from.RunAsync(
            TimeSpan.FromSeconds(seconds) + Slack,
            ["iperf3", "--client", address, "--port", $"{Port}", "--time", $"{seconds}", "--json", .. arguments]);
        if (client.ExitCode != 0) throw new InvalidOperationException($"{client.Transcript}{server.Transcript}");
        using JsonDocument document = JsonDocument.Parse(client.Output);
        return document.RootElement.Clone();
    }

    private static async Task<RunningProcess> ServeAsync(NetworkNamespace to, string address)
    {
        RunningProcess server = to.Start(["iperf3", "--server", "--one-off", "--forceflush", "--port", $"{Port}", "--bind", address]);
        await server.WaitForTextAsync("Server listening", Slack);
        return server;
    }
}
