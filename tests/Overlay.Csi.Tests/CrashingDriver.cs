using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Overlay.Csi.Tests;

/// <summary>
/// The driver itself, in this test program, whose log kills the process (SIGKILL) before a step is taken: the one that a file numbers or names. The
/// count starts anew whenever the file's text changes; without the file all goes on. Where the file says <c>wait</c> before the name, the step waits
/// instead, until the file is gone; <see cref="Reached"/> is there meanwhile.
/// </summary>
internal static class CrashingDriver
{
    public const string Variable = "OVERLAY_TEST_CRASH_FILE";

    /// <summary>Tells that a step waits.</summary>
    public static string Reached(string file) => $"{file}.reached";

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
            if (File.ReadAllText(file).Split(" wait ") is [_, var held])
            {
                if (formatter(state, exception).EndsWith($": {held}", StringComparison.Ordinal)) WaitUntilGone();
                return;
            }
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

        private void WaitUntilGone()
        {
            File.WriteAllText(Reached(file), "");
            while (File.Exists(file)) Thread.Sleep(10);
            File.Delete(Reached(file));
        }
    }
}
