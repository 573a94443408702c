using System.Globalization;
using System.Text.RegularExpressions;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Traffic;

/// <summary>What ping(8) counted.</summary>
internal sealed record PingResult(int Sent, int Received, string Transcript);

/// <summary>ICMP echo by ping(8), which compares the payload of every answer.</summary>
internal static partial class Ping
{
    /// <param name="from">Namespace to send in.</param>
    /// <param name="address">IPv4 or IPv6 address to ask.</param>
    /// <param name="size">Payload octets behind the ICMP header.</param>
    /// <param name="count">Echo requests.</param>
    /// <param name="dontFragment">Whether the packet must go in one piece.</param>
    public static async Task<PingResult> RunAsync(
        NetworkNamespace from, string address, int size = 56, int count = 1, bool dontFragment = false)
    {
        string[] fragmenting = dontFragment ? ["-M", "do"] : [];
        CommandResult result = await from.RunAsync(
            TimeSpan.FromSeconds(10 + count),
            ["ping", "-n", "-c", $"{count}", "-i", "0.01", "-W", "2", "-s", $"{size}", .. fragmenting, address]);
        Match counts = Counts().Match(result.Output);
        if (!counts.Success) throw new InvalidDataException($"ping counted nothing: {result.Transcript}");
        if (result.Output.Contains("wrong data", StringComparison.Ordinal)) throw new InvalidDataException($"spoilt: {result.Transcript}");
        return new PingResult(Count(counts, 1), Count(counts, 2), result.Transcript);
    }

    private static int Count(Match counts, int group) => int.Parse(counts.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex("([0-9]+) packets transmitted, ([0-9]+) received")]
    private static partial Regex Counts();
}
