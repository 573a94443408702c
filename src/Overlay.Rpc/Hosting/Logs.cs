using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;

namespace Overlay.Rpc.Hosting;

/// <summary>The daemon's log: structured lines on standard error.</summary>
public static class Logs
{
    /// <summary>Disposing the factory writes out what is still queued.</summary>
    public static ILoggerFactory Create() => LoggerFactory.Create(builder => builder
        .AddFilter("Microsoft", LogLevel.Warning)
        .AddConsoleFormatter<LogLineFormatter, ConsoleFormatterOptions>()
        .AddConsole(options =>
        {
            options.FormatterName = LogLineFormatter.FormatterName;
            options.LogToStandardErrorThreshold = LogLevel.Trace;
        }));
}
