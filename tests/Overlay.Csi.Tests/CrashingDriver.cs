using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Overlay.Csi.Tests;

/// <summary>
/// The driver itself, in this test program, whose log kills the process (SIGKILL) before a step is taken: the one that a file numbers or names. The
/// count starts anew whenever the file's text changes; without the file all goes on.
/// </summary>
internal static class CrashingDriver
{
    public const string Variable = "OVERLAY_TEST_CRASH_FILE";

    public static Task<int> Main(string[] arguments) => CommandLine.RunAsync(arguments, () => LoggerFactory.Create(builder => builder
        .SetMinimumLevel(LogLevel.Debug)
        .AddFilter("Microsoft", LogLevel.Warning)
        .AddProvider(new Provider(Environment.GetEnvironmentVariable(Variable)!))));

    private sealed class Provider(string file) : ILoggerProvider, ILogger
    {
        private string _text = "";
        private int _steps;

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (logLevel > LogLevel.Information) Console.Error.WriteLine(formatter(state, exception));
            if (logLevel != LogLevel.Debug || !File.Exists(file)) return;
            lock (this)
            {
                string text = File.ReadAllText(file);
                if (text != _text) (_text, _steps) = (text, 0);
                string which = text[(text.IndexOf(' ', StringComparison.Ordinal) + 1)..];
                _steps++;
                if (which != _steps.ToString(System.Globalization.CultureInfo.InvariantCulture) && !formatter(state, exception).EndsWith($": {which}", StringComparison.Ordinal)) return;
                Process.GetCurrentProcess().Kill();
                Thread.Sleep(Timeout.Infinite);
            }
        }

        public void Dispose()
        {
        }
    }
}
