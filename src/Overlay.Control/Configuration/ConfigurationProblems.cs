namespace Overlay.Control.Configuration;

/// <summary>What is wrong with a value, naming it, and what to do about it.</summary>
public readonly record struct Refusal(string Wrong, string Remedy);

/// <summary>Collects everything that is wrong with a configuration file, so that the operator reads it all at once.</summary>
public sealed class ConfigurationProblems(string file)
{
    private readonly SortedSet<(int Line, int Order, string Text)> _problems = [];
    private readonly SortedSet<(int Line, int Order, string Text)> _warnings = [];

    public bool Any => _problems.Count > 0;

    /// <summary>One a problem, in the order of the file: <c>FILE:LINE: what is wrong; remedy</c>.</summary>
    public IEnumerable<string> Lines => _problems.Select(problem => problem.Text);

    /// <summary>What is allowed and seldom meant: as <see cref="Lines"/>.</summary>
    public IEnumerable<string> Warnings => _warnings.Select(warning => warning.Text);

    /// <param name="line">From 1; 0 where the file as a whole is meant.</param>
    /// <param name="wrong">What is wrong, naming the value.</param>
    /// <param name="remedy">What to write or do instead.</param>
    public void Add(int line, string wrong, string remedy)
    {
        _problems.Add((line, _problems.Count, $"{Place(line)}: {wrong}; {remedy}"));
    }

    public void Add(int line, Refusal refusal) => Add(line, refusal.Wrong, refusal.Remedy);

    /// <inheritdoc cref="Add(int, string, string)"/>
    public void Warn(int line, string wrong, string remedy) => _warnings.Add((line, _warnings.Count, $"{Place(line)}: warning: {wrong}; {remedy}"));

    private string Place(int line) => line > 0 ? $"{file}:{line}" : file;
}
