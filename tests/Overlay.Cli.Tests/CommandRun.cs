using System.Diagnostics;

namespace Overlay.Cli.Tests;

/// <summary>What a program that ran to its end printed.</summary>
internal sealed record CommandRun(int ExitCode, string Output, string Errors)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    public string[] Lines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Runs the built <c>overlay</c>.</summary>
    public static CommandRun Overlay(params string[] arguments) => Start(Path.Combine(AppContext.BaseDirectory, "overlay"), null, arguments);

    /// <summary>Runs the built <c>overlay</c> with bytes on its standard input.</summary>
    public static CommandRun OverlayReading(byte[] input, params string[] arguments) =>
        Start(Path.Combine(AppContext.BaseDirectory, "overlay"), input, arguments);

    public static CommandRun Program(string program, params string[] arguments) => Start(program, null, arguments);

    private static CommandRun Start(string program, byte[]? input, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        process.StandardInput.BaseStream.Write(input ?? []);
        process.StandardInput.Close();
        if (!process.WaitForExit(Deadline))
        {
            process.Kill();
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} ran longer than {Deadline}");
        }
        return new CommandRun(process.ExitCode, output.GetAwaiter().GetResult(), errors.GetAwaiter().GetResult());
    }
}
