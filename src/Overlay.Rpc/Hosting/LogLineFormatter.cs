using System.Globalization;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace Overlay.Rpc.Hosting;

/// <summary>
/// One line an event: <c>level=info msg="..." key=value ...</c>. Under journald each line starts with its priority (sd-daemon(3)) and
/// bears no time, which the journal adds; elsewhere it starts with <c>ts=</c> in UTC.
/// </summary>
internal sealed class LogLineFormatter() : ConsoleFormatter(FormatterName)
{
    public const string FormatterName = "line";

    private readonly bool _journal = Environment.GetEnvironmentVariable("JOURNAL_STREAM") is { Length: > 0 };

    public override void Write<TState>(in LogEntry<TState> entry, IExternalScopeProvider? scopeProvider, TextWriter output)
    {
        (int priority, string level) = entry.LogLevel switch
        {
            LogLevel.Critical => (2, "critical"),
            LogLevel.Error => (3, "error"),
            LogLevel.Warning => (4, "warning"),
            LogLevel.Information => (6, "info"),
            _ => (7, "debug"),
        };
        if (_journal) output.Write(string.Create(CultureInfo.InvariantCulture, $"<{priority}>"));
        else output.Write(string.Create(CultureInfo.InvariantCulture, $"ts={DateTime.UtcNow:yyyy-MM-ddTHH:mm:ss.fffZ} "));
        string message = entry.Formatter(entry.State, entry.Exception);
        output.Write($"level={level} msg={Quoted(message)}");
        if (entry.State is IReadOnlyList<KeyValuePair<string, object?>> values)
        {
            foreach ((string key, object? value) in values)
            {
                string text = Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
                if (key != "{OriginalFormat}" && text != message) output.Write($" {char.ToLowerInvariant(key[0])}{key.AsSpan(1)}={MaybeQuoted(text)}");
            }
        }
        if (entry.Exception is { } exception) output.Write($" exception={Quoted(exception.ToString())}");
        output.WriteLine();
    }

    private static string MaybeQuoted(string text) =>
        text.Length > 0 && text.All(letter => letter is > ' ' and < '\x7f' and not ('"' or '=' or '\\')) ? text : Quoted(text);

    private static string Quoted(string text) =>
        $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).ReplaceLineEndings("\\n")}\"";
}
