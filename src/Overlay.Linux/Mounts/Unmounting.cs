using Overlay.Linux.Interop;
using Overlay.Linux.Storage;

namespace Overlay.Linux.Mounts;

/// <summary>How it went with what was mounted on a path.</summary>
/// <param name="Layers">Mounts that were removed.</param>
/// <param name="IsBusy">Whether one is in use and stays.</param>
public readonly record struct UnmountResult(int Layers, bool IsBusy);

/// <summary>Taking mounts away, never lazily: what is in use stays.</summary>
public static class Unmounting
{
    /// <summary>Removes all that is mounted on the path, the topmost first.</summary>
    /// <exception cref="LinuxException">Another error than that it is in use.</exception>
    public static UnmountResult All(string path)
    {
        string canonical = MountTable.Canonical(path);
        int layers = 0;
        for (int remaining = MountTable.At(path).Count; remaining > 0; remaining--)
        {
            if (LibcStorage.Unmount(canonical, MountConstants.UMOUNT_NOFOLLOW) == 0)
            {
                layers++;
                continue;
            }
            var problem = LinuxException.Last($"umount {canonical}");
            if (problem.Errno == Errno.EBUSY) return new UnmountResult(layers, IsBusy: true);
            // Taken away by somebody else meanwhile.
            if (problem.Errno == Errno.EINVAL) break;
            throw problem;
        }
        return new UnmountResult(layers, IsBusy: false);
    }

    /// <summary>Processes that have a file or folder open on the file system at the path, as <c>name (id)</c>; at most <paramref name="limit"/>.</summary>
    public static IReadOnlyList<string> Holders(string path, int limit)
    {
        var holders = new List<string>();
        if (FileIdentity.Remembered(path) is not { } root) return holders;
        foreach (string process in Directory.EnumerateDirectories("/proc").Where(folder => char.IsAsciiDigit(Path.GetFileName(folder)[0])))
        {
            if (holders.Count == limit) break;
            if (Links(process).Any(link => IsOn(link, root.Device))) holders.Add($"{NameOf(process)} ({Path.GetFileName(process)})");
        }
        return holders;
    }

    private static IEnumerable<string> Links(string process)
    {
        yield return $"{process}/cwd";
        yield return $"{process}/root";
        yield return $"{process}/exe";
        string[] open = [];
        try
        {
            open = Directory.GetFileSystemEntries($"{process}/fd");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The process ended.
        }
        foreach (string descriptor in open) yield return descriptor;
    }

    private static bool IsOn(string link, ulong device)
    {
        try
        {
            return FileIdentity.Remembered(link) is { } file && file.Device == device;
        }
        catch (LinuxException)
        {
            // The process ended, or is the kernel's.
            return false;
        }
    }

    private static string NameOf(string process)
    {
        try
        {
            return File.ReadAllText($"{process}/comm").TrimEnd('\n');
        }
        catch (IOException)
        {
            return "ended";
        }
    }
}
