using System.Globalization;

namespace Overlay.Csi.Static;

/// <summary>A source that static volumes may have (<c>--allow KIND:SOURCE</c>).</summary>
/// <param name="Kind"><c>directory</c>, <c>nfs</c>, <c>cifs</c> or <c>tmpfs</c>.</param>
/// <param name="Source">A source of that kind: it and what is below it are allowed; empty for tmpfs.</param>
/// <param name="MaxBytes">Most that a tmpfs may have.</param>
internal sealed record AllowedSource(string Kind, string Source, long MaxBytes)
{
    public static IReadOnlyList<AllowedSource> ParseAll(IReadOnlyList<string> texts, List<string> problems)
    {
        var allowed = new List<AllowedSource>();
        foreach (string text in texts)
        {
            int colon = text.IndexOf(':', StringComparison.Ordinal);
            string kind = colon < 0 ? text : text[..colon];
            string source = colon < 0 ? "" : text[(colon + 1)..];
            long bytes = 0;
            string? wrong = kind switch
            {
                "directory" => Path.IsPathFullyQualified(source) && Path.GetFullPath(source) == source ? null : "write directory:/absolute/folder",
                "nfs" => source.Contains(":/", StringComparison.Ordinal) ? null : "write nfs:SERVER:/EXPORT",
                "cifs" => source.StartsWith("//", StringComparison.Ordinal) && source.Length > 2 ? null : "write cifs://SERVER/SHARE",
                "tmpfs" => TryParseBytes(source, out bytes) ? null : "write tmpfs:SIZE, such as tmpfs:64Mi: the most that one may have",
                _ => "the kinds are directory, nfs, cifs and tmpfs",
            };
            if (wrong is not null) problems.Add($"--allow '{text}': {wrong}");
            else allowed.Add(new AllowedSource(kind, kind == "tmpfs" ? "" : source.TrimEnd('/'), bytes));
        }
        return allowed;
    }

    /// <summary>Whether it allows the source: the same or below.</summary>
    public bool Allows(string kind, string source) =>
        kind == Kind && (source == Source || source.StartsWith($"{Source}/", StringComparison.Ordinal)) && !source.Split('/').Contains("..");

    /// <summary>Bytes, or with a unit of Kubernetes: Ki, Mi, Gi, Ti.</summary>
    public static bool TryParseBytes(string text, out long bytes)
    {
        int shift = text.Length > 2 ? text[^2..] switch { "Ki" => 10, "Mi" => 20, "Gi" => 30, "Ti" => 40, _ => 0 } : 0;
        return long.TryParse(shift > 0 ? text[..^2] : text, NumberStyles.None, CultureInfo.InvariantCulture, out bytes)
            && bytes > 0 && bytes <= long.MaxValue >> shift && (bytes <<= shift) > 0;
    }
}
