using Overlay.Testing;

namespace Overlay.Cli.Tests;

/// <summary>The built <c>overlay</c>.</summary>
internal static class OverlayProgram
{
    public static string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, "overlay");

    public static ProgramRun Run(params string[] arguments) => ProgramRun.Start(Path, arguments);

    /// <summary>Runs it with bytes on its standard input.</summary>
    public static ProgramRun RunReading(byte[] input, params string[] arguments) => ProgramRun.StartReading(input, Path, arguments);
}
