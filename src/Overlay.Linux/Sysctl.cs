namespace Overlay.Linux;

/// <summary>A kernel parameter that was changed.</summary>
/// <param name="Key">Path below /proc/sys, such as <c>net/ipv4/conf/all/rp_filter</c>.</param>
/// <param name="Before">Its value before.</param>
/// <param name="After">The value it was given.</param>
public readonly record struct SysctlChange(string Key, string Before, string After);

/// <summary>
/// Kernel parameters below /proc/sys, of the calling thread's network namespace where they belong to one. Keys are paths, because interface
/// names may hold dots. Changes are remembered and undone, last first, by <see cref="Dispose"/>.
/// </summary>
public sealed class Sysctl : IDisposable
{
    private const string Root = "/proc/sys";

    private readonly List<SysctlChange> _changes = [];

    /// <summary>In the order they were made.</summary>
    public IReadOnlyList<SysctlChange> Changes => _changes;

    /// <summary>The value, without the line's end; null where the kernel knows no such parameter.</summary>
    public static string? Read(string key)
    {
        string path = Path.Combine(Root, key);
        return File.Exists(path) ? File.ReadAllText(path).TrimEnd('\n') : null;
    }

    /// <summary>Gives the parameter a value; does nothing where it has it already.</summary>
    /// <exception cref="IOException">The kernel knows no such parameter or refuses the value.</exception>
    /// <exception cref="UnauthorizedAccessException">The caller may not change it.</exception>
    public void Set(string key, string value)
    {
        string before = Read(key) ?? throw new FileNotFoundException($"the kernel has no parameter {key}", Path.Combine(Root, key));
        if (before == value) return;
        File.WriteAllText(Path.Combine(Root, key), value);
        _changes.Add(new SysctlChange(key, before, value));
    }

    /// <summary>Restores what <see cref="Set"/> changed and what still exists. A value that somebody else has changed since stays.</summary>
    public void Dispose()
    {
        for (int i = _changes.Count - 1; i >= 0; i--)
        {
            (string key, string before, string after) = _changes[i];
            if (Read(key) == after) File.WriteAllText(Path.Combine(Root, key), before);
        }
        _changes.Clear();
    }
}
