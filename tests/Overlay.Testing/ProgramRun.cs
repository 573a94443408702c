using System.Diagnostics;

namespace Overlay.Testing;

/// <summary>What a program that ran to its end printed.</summary>
public sealed record ProgramRun(int ExitCode, string Output, string Errors)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    public string[] Lines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Runs a program, started by the calling thread and so in its network namespace, and waits for its end.</summary>
    /// <exception cref="TimeoutException">It did not end within two minutes.</exception>
    public static ProgramRun Start(string program, params string[] arguments) => StartReading([], program, arguments);

    /// <summary>As <see cref="Start"/>, with bytes on the program's standard input.</summary>
    public static ProgramRun StartReading(byte[] input, string program, params string[] arguments)
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
        process.StandardInput.BaseStream.Write(input);
        process.StandardInput.Close();
        if (!process.WaitForExit(Deadline))
        {
            process.Kill();
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} ran longer than {Deadline}");
        }
        return new ProgramRun(process.ExitCode, output.GetAwaiter().GetResult(), errors.GetAwaiter().GetResult());
    }

    /// <summary>Runs a program that has to succeed.</summary>
    /// <exception cref="InvalidOperationException">It ended with another exit code than 0.</exception>
    public static ProgramRun Check(string program, params string[] arguments)
    {
        ProgramRun run = Start(program, arguments);
        return run.ExitCode == 0
            ? run
            : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {run.ExitCode}: {run.Errors}");
    }
}
