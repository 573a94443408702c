using System.Collections.Concurrent;

namespace Overlay.Controller;

/// <summary>What the controller does with its store again and again and cannot do now. Used by any thread.</summary>
internal sealed class StoreTroubles
{
    public const string Follow = "the store cannot be followed";
    public const string Look = "the nodes' leases cannot be looked at";
    public const string Compact = "the store's history cannot be shortened";

    private readonly ConcurrentDictionary<string, string> _problems = new();

    /// <summary>Each trouble with its cause.</summary>
    public IEnumerable<KeyValuePair<string, string>> All => _problems;

    /// <returns>Whether that is news.</returns>
    public bool Add(string trouble, string problem)
    {
        bool isNews = !_problems.TryGetValue(trouble, out string? known) || known != problem;
        _problems[trouble] = problem;
        return isNews;
    }

    /// <returns>Whether there was such a trouble.</returns>
    public bool Remove(string trouble) => _problems.TryRemove(trouble, out _);
}
