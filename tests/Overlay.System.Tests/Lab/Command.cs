namespace Overlay.SystemTests.Lab;

/// <summary>What a command that ended said.</summary>
internal sealed record CommandResult(int ExitCode, string Output, string Errors, string Transcript);

/// <summary>Runs programs to their end, within a deadline.</summary>
internal static class Command
{
    public static readonly TimeSpan ShortDeadline = TimeSpan.FromSeconds(20);

    public static async Task<CommandResult> RunAsync(TimeSpan deadline, string? input, string file, params IEnumerable<string> arguments)
    {
        using RunningProcess process = RunningProcess.Start(file, arguments, input);
        int exitCode = await process.WaitForExitAsync(deadline);
        return new CommandResult(exitCode, process.Output, process.Errors, process.Transcript);
    }

    /// <returns>Standard output of a command that succeeded.</returns>
    /// <exception cref="InvalidOperationException">It ended with another exit code than 0.</exception>
    public static async Task<string> CheckAsync(TimeSpan deadline, string? input, string file, params IEnumerable<string> arguments)
    {
        CommandResult result = await RunAsync(deadline, input, file, arguments);
        if (result.ExitCode != 0) throw new InvalidOperationException($"exit code {result.ExitCode}: {result.Transcript}");
        return result.Output;
    }
}
