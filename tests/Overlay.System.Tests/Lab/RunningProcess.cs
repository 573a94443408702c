using System.Diagnostics;
using System.Text;

namespace Overlay.SystemTests.Lab;

/// <summary>A process whose output is kept, and that never outlives its owner.</summary>
internal sealed class RunningProcess : IDisposable
{
    private readonly Process _process;
    private readonly string _command;
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _errors = new();
    private readonly Lock _lock = new();
    private readonly List<(string Text, TaskCompletionSource Seen)> _waiting = [];

    private RunningProcess(Process process, string command)
    {
        _process = process;
        _command = command;
    }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>Standard output so far.</summary>
    public string Output => Read(_output);

    /// <summary>Standard error so far.</summary>
    public string Errors => Read(_errors);

    /// <summary>Command and output, for a failure's message.</summary>
    public string Transcript => $"$ {_command}\n{Output}{Errors}";

    /// <param name="file">Program to start.</param>
    /// <param name="arguments">Its arguments, each passed on as it is.</param>
    /// <param name="input">Standard input, or null for an empty one.</param>
    /// <param name="environment">Variables in addition to ours.</param>
    public static RunningProcess Start(
        string file, IEnumerable<string> arguments, string? input = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo(file, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>()) start.Environment[name] = value;
        var running = new RunningProcess(new Process { StartInfo = start }, $"{file} {string.Join(' ', start.ArgumentList)}");
        running._process.OutputDataReceived += (_, line) => running.Append(running._output, line.Data);
        running._process.ErrorDataReceived += (_, line) => running.Append(running._errors, line.Data);
        running._process.Start();
        running._process.BeginOutputReadLine();
        running._process.BeginErrorReadLine();
        running._process.StandardInput.Write(input ?? "");
        running._process.StandardInput.Close();
        return running;
    }

    /// <summary>Waits for the end and for all output.</summary>
    /// <returns>The exit code.</returns>
    /// <exception cref="TimeoutException">It was still running at the deadline, and was killed.</exception>
    public async Task<int> WaitForExitAsync(TimeSpan deadline)
    {
        using var expired = new CancellationTokenSource(deadline);
        try
        {
            await _process.WaitForExitAsync(expired.Token);
        }
        catch (OperationCanceledException)
        {
            Kill();
            throw new TimeoutException($"still running after {deadline}: {Transcript}");
        }
        return _process.ExitCode;
    }

    /// <summary>Waits until a text has been written on either output.</summary>
    /// <exception cref="TimeoutException">It was not, by the deadline.</exception>
    public async Task WaitForTextAsync(string text, TimeSpan deadline)
    {
        var seen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if (Has(text)) return;
            _waiting.Add((text, seen));
        }
        try
        {
            await seen.Task.WaitAsync(deadline);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"no '{text}' within {deadline}: {Transcript}");
        }
    }

    public void Signal(int signal) => Libc.Signal(Id, signal);

    public void Dispose()
    {
        Kill();
        _process.Dispose();
    }

    private void Kill()
    {
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        _process.WaitForExit(TimeSpan.FromSeconds(10));
    }

    private void Append(StringBuilder to, string? line)
    {
        if (line is null) return;
        lock (_lock)
        {
            to.Append(line).Append('\n');
            foreach ((string text, TaskCompletionSource seen) in _waiting)
            {
                if (Has(text)) seen.TrySetResult();
            }
        }
    }

    private bool Has(string text) =>
        _output.ToString().Contains(text, StringComparison.Ordinal) || _errors.ToString().Contains(text, StringComparison.Ordinal);

    private string Read(StringBuilder from)
    {
        lock (_lock) return from.ToString();
    }
}
