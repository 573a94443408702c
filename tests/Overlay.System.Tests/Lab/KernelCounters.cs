using System.Globalization;

namespace Overlay.SystemTests.Lab;

/// <summary>Counters of the kernel's network stack in one namespace (nstat(8)), since it was made.</summary>
internal static class KernelCounters
{
    /// <returns>Each by its name.</returns>
    public static async Task<Dictionary<string, long>> ReadAsync(NetworkNamespace inside, params string[] names)
    {
        string[] lines = (await inside.CheckAsync(["nstat", "-asz", .. names])).Split('\n');
        return lines.Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Where(words => words.Length > 1 && names.Contains(words[0]))
            .ToDictionary(words => words[0], words => long.Parse(words[1], CultureInfo.InvariantCulture));
    }
}
