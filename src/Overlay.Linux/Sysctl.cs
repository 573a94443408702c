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
    /// <returns>Null, or why it stays as it is, for the log and status: a container often has all of /proc/sys read-only.</returns>
    public static string? TrySet(string key, string value)
    {
        if (Read(key) is not { } before || before == value) return null;
        try
        {
            File.WriteAllText(Path.Combine(Root, key), value);
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return $"{key} stays {before}, where {value} is wanted: {exception.Message}";
        }
    }
}
