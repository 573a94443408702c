using System.Text.RegularExpressions;

namespace Overlay.SystemTests.Lab;

/// <summary>What a daemon under a flood of packets that it drops may log.</summary>
internal static partial class DropAlarms
{
    /// <summary>A flood is worth an alarm: nothing may be logged but one line a reason, however many packets there were.</summary>
    /// <param name="before">The log when the flood began.</param>
    /// <param name="after">The log now.</param>
    public static void AssertOneAReason(string before, string after)
    {
        Assert.StartsWith(before, after, StringComparison.Ordinal);
        string[] lines = after[before.Length..].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string[] reasons = [.. lines.Select(line => Alarm().Match(line)).Select(alarm => alarm.Groups[1].Value + alarm.Groups[2].Value)];
        Assert.DoesNotContain("", reasons);
        Assert.Equal(reasons.Distinct(), reasons);
    }

    // Of those with a wrong checksum the kernel tells as of others that it dropped before anybody read them.
    [GeneratedRegex("packets were dropped in the last minute as ([a-z-]+):|the (kernel dropped) [0-9,]+ datagrams")]
    private static partial Regex Alarm();
}
