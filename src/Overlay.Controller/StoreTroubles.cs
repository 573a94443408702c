using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Overlay.Controller;

/// <summary>What the controller does with its store again and again and cannot do now. Used by any thread.</summary>
internal sealed class StoreTroubles(ILogger log)
{
    public const string Follow = "the store cannot be followed";
    public const string Look = "the nodes' leases cannot be looked at";
    public const string Change = "the store takes no changes";
    public const string Compact = "the store's history cannot be shortened";

    private readonly ConcurrentDictionary<string, string> _problems = new();

    /// <summary>Each trouble with its cause.</summary>
    public IEnumerable<KeyValuePair<string, string>> All => _problems;

    public bool Has(string trouble) => _problems.ContainsKey(trouble);

    /// <summary>Is logged once, until it is over or has another cause.</summary>
    public void Add(string trouble, string problem)
    {
        if (!_problems.TryGetValue(trouble, out string? known) || known != problem) log.LogError("{Trouble}: {Problem}", trouble, problem);
        _problems[trouble] = problem;
    }

    /// <summary>It works again, if it did not.</summary>
    public void Remove(string trouble)
    {
        if (_problems.TryRemove(trouble, out _)) log.LogInformation("the store works again: no longer '{Trouble}'", trouble);
    }
}
