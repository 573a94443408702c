namespace Overlay.Linux;

/// <summary>
/// Kernel parameters below /proc/sys, of the calling thread's network namespace where they belong to one. Keys are paths, such as
/// <c>net/ipv4/ip_forward</c>, because interface names may hold dots.
/// </summary>
public static class Sysctl
{
    private const string Root = "/proc/sys";

    /// <summary>The value, without the line's end; null where the kernel knows no such parameter.</summary>
    public static string? Read(string key)
    {
        string path = Path.Combine(Root, key);
        return File.Exists(path) ? File.ReadAllText(path).TrimEnd('\n') : null;
    }

    /// <summary>Gives the parameter a value; does nothing where the kernel has no such parameter.</summary>
    /// <exception cref="IOException">The kernel refuses the value.</exception>
    /// <exception cref="UnauthorizedAccessException">The caller may not change it.</exception>
    public static void Set(string key, string value)
    {
        if (Read(key) is { } before && before != value) File.WriteAllText(Path.Combine(Root, key), value);
    }
}
