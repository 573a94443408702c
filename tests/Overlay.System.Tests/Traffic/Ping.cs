using System.Globalization;
using System.Text.RegularExpressions;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Traffic;

/// <summary>What ping(8) counted.</summary>
internal sealed record PingResult(int Sent, int Received, string Transcript);

/// <summary>ICMP echo by ping(8), which compares the payload of every answer.</summary>
internal static partial class Ping
{
    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(10);

    /// <summary>Asks, and gives each request its full time, which ping does only for the last of a series that nobody answers.</summary>
    /// <param name="from">Namespace to send in.</param>
    /// <param name="address">IPv4 or IPv6 address to ask.</param>
    /// <param name="size">Payload octets behind the ICMP header.</param>
    /// <param name="count">Echo requests, one after the other.</param>
    /// <param name="dontFragment">Whether the packet must go in one piece.</param>
    public static async Task<PingResult> RunAsync(
        NetworkNamespace from, string address, int size = 56, int count = 1, bool dontFragment = false)
    {
        var results = new List<PingResult>();
        for (int i = 0; i < count; i++) results.Add(await RunAsync(from, ["-c", "1", "-W", "2", .. Options(size, dontFragment), address]));
        return new PingResult(
            results.Sum(result => result.Sent), results.Sum(result => result.Received),
            string.Join('\n', results.Select(result => result.Transcript)));
    }

    /// <summary>Asks out of one device only.</summary>
    public static Task<PingResult> RunAsync(NetworkNamespace from, string device, string address, int count) =>
        RunAsync(from, ["-I", device, "-c", $"{count}", "-i", "0.05", "-W", "2", address]);

    /// <summary>Asks many times in a row where no answer is expected.</summary>
    public static Task<PingResult> FloodAsync(NetworkNamespace from, string address, int count) =>
        RunAsync(from, ["-c", $"{count}", "-i", "0.01", "-W", "1", address]);

    private static string[] Options(int size, bool dontFragment) =>
        dontFragment ? ["-s", $"{size}", "-M", "do"] : ["-s", $"{size}"];

    private static async Task<PingResult> RunAsync(NetworkNamespace from, string[] arguments)
    {
        CommandResult result = await from.RunAsync(Slack, ["ping", "-n", .. arguments]);
        if (result.Errors.Contains("Network is unreachable", StringComparison.Ordinal)) return new PingResult(0, 0, result.Transcript);
        Match counts = Counts().Match(result.Output);
        if (!counts.Success) throw new InvalidDataException($"ping counted nothing: {result.Transcript}");
        if (result.Output.Contains("wrong data", StringComparison.Ordinal)) throw new InvalidDataException($"spoilt: {result.Transcript}");
        return new PingResult(Count(counts, 1), Count(counts, 2), result.Transcript);
    }

    private static int Count(Match counts, int group) => int.Parse(counts.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex("([0-9]+) packets transmitted, ([0-9]+) received")]
    private static partial Regex Counts();
}
