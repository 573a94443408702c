namespace Overlay.Agent.Configuration;

/// <summary>What is wrong with a value, naming it, and what to do about it.</summary>
internal readonly record struct Refusal(string Wrong, string Remedy);

/// <summary>Collects everything that is wrong with a configuration file, so that the operator reads it all at once.</summary>
internal sealed class ConfigurationProblems(string file)
{
    private readonly SortedSet<(int Line, int Order, string Text)> _problems = [];

    public bool Any => _problems.Count > 0;

    /// <summary>One a problem, in the order of the file: <c>FILE:LINE: what is wrong; remedy</c>.</summary>
    public IEnumerable<string> Lines => _problems.Select(problem => problem.Text);

    /// <param name="line">From 1; 0 where the file as a whole is meant.</param>
    /// <param name="wrong">What is wrong, naming the value.</param>
    /// <param name="remedy">What to write or do instead.</param>
    public void Add(int line, string wrong, string remedy)
    {
        string place = line > 0 ? $"{file}:{line}" : file;
        _problems.Add((line, _problems.Count, $"{place}: {wrong}; {remedy}"));
    }

    public void Add(int line, Refusal refusal) => Add(line, refusal.Wrong, refusal.Remedy);
}
