using Overlay.Cli.Terminals;

namespace Overlay.Cli.Conformance;

/// <summary>Tells what is being done, in one line that gives way to the next; where nobody watches, nothing.</summary>
internal sealed class Progress(TextWriter errors)
{
    private const string BackAndClear = "\r\e[K";

    private readonly bool _isWatched = !Console.IsErrorRedirected && ReferenceEquals(errors, Console.Error);

    public void Begin(string what)
    {
        if (!_isWatched) return;
        string line = $"{what} ...";
        errors.Write(BackAndClear + line[..Math.Min(line.Length, Terminal.Width - 1)]);
        errors.Flush();
    }

    public void End()
    {
        if (_isWatched) errors.Write(BackAndClear);
    }
}
