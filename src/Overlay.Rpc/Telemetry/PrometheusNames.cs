using System.Diagnostics.Metrics;
using System.Text;

namespace Overlay.Rpc.Telemetry;

/// <summary>
/// What an instrument and its tags are called in Prometheus: dots become underscores, the unit is written out at the end, counters end in
/// <c>_total</c> (OpenTelemetry, Prometheus compatibility).
/// </summary>
internal static class PrometheusNames
{
    public static string Of(Instrument instrument, bool isCounter)
    {
        var name = new StringBuilder(Sanitized(instrument.Name));
        string unit = UnitName(instrument.Unit);
        if (unit.Length > 0 && !EndsWith(name, unit)) name.Append('_').Append(unit);
        if (isCounter && !EndsWith(name, "total")) name.Append("_total");
        return name.ToString();
    }

    /// <summary>The tags as they stand behind a name: empty, or in braces.</summary>
    public static string Labels(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.IsEmpty) return "";
        var labels = new StringBuilder("{");
        foreach ((string key, object? value) in tags)
        {
            if (labels.Length > 1) labels.Append(',');
            labels.Append(Sanitized(key)).Append("=\"");
            AppendEscaped(labels, Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture) ?? "", quotes: true);
            labels.Append('"');
        }
        return labels.Append('}').ToString();
    }

    /// <summary>A text of the format: backslashes and line feeds, and in labels quotation marks, are escaped.</summary>
    public static void AppendEscaped(StringBuilder to, string text, bool quotes)
    {
        foreach (char letter in text)
        {
            _ = letter switch
            {
                '\\' => to.Append("\\\\"),
                '\n' => to.Append("\\n"),
                '"' when quotes => to.Append("\\\""),
                _ => to.Append(letter),
            };
        }
    }

    private static string Sanitized(string name) => string.Create(name.Length, name, static (to, from) =>
    {
        for (int i = 0; i < to.Length; i++) to[i] = char.IsAsciiLetter(from[i]) || (i > 0 && char.IsAsciiDigit(from[i])) ? from[i] : '_';
    });

    /// <summary>Of the UCUM units that are used; those in braces are only remarks.</summary>
    private static string UnitName(string? unit) => unit switch
    {
        null or "" or "1" => "",
        "s" => "seconds",
        "By" => "bytes",
        _ when unit.StartsWith('{') => "",
        _ => Sanitized(unit),
    };

    private static bool EndsWith(StringBuilder name, string word)
    {
        int start = name.Length - word.Length;
        if (start < 0) return false;
        for (int i = 0; i < word.Length; i++)
        {
            if (name[start + i] != word[i]) return false;
        }
        return start == 0 || name[start - 1] == '_';
    }
}
