namespace Overlay.Control.Configuration;

/// <summary>What is wrong with a value, naming it, and what to do about it.</summary>
public readonly record struct Refusal(string Wrong, string Remedy);

/// <summary>Collects everything that is wrong with a configuration file, so that the operator reads it all at once.</summary>
public sealed class ConfigurationProblems(string file)
{
    /// <summary>Most that are said of a file that another one names: it may have a million lines.</summary>
    private const int MostOfOther = 20;

    private readonly SortedSet<(int Line, int Order, string Text)> _problems = [];
    private readonly SortedSet<(int Line, int Order, string Text)> _warnings = [];
    private readonly Dictionary<string, ConfigurationProblems> _others = [];

    public bool Any => _problems.Count > 0 || _others.Values.Any(other => other.Any);

    /// <summary>Those of a file that this one names; they follow this one's.</summary>
    public ConfigurationProblems In(string other) =>
        _others.TryGetValue(other, out ConfigurationProblems? problems) ? problems : _others[other] = new ConfigurationProblems(other);

    /// <summary>One a problem, in the order of the file: <c>FILE:LINE: what is wrong; remedy</c>.</summary>
    public IEnumerable<string> Lines => _problems.Select(problem => problem.Text).Concat(_others.Values.SelectMany(other => other.Shortened()));

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

    private IEnumerable<string> Shortened()
    {
        IEnumerable<string> first = _problems.Take(MostOfOther).Select(problem => problem.Text);
        return _problems.Count <= MostOfOther ? first : first.Append($"{file}: {_problems.Count - MostOfOther} more problems; correct these first");
    }

    private string Place(int line) => line > 0 ? $"{file}:{line}" : file;
}
