using System.Globalization;
using System.Text;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Mounts;

/// <summary>A mount, as the kernel lists it in /proc/self/mountinfo (proc_pid_mountinfo(5)).</summary>
/// <param name="Id">Number of the mount; larger ones were made later as a rule.</param>
/// <param name="Device">Number of the file system's device, as <c>major:minor</c>.</param>
/// <param name="Root">Path within the file system that is mounted.</param>
/// <param name="Target">Where it is mounted.</param>
/// <param name="Options">Of this mount: <c>ro</c>, <c>nosuid</c> …</param>
/// <param name="Type">Of the file system.</param>
/// <param name="Source">What was given as source, such as the path of a device.</param>
/// <param name="FileSystemOptions">Of the file system, whatever mounts there are of it.</param>
public sealed record MountEntry(
    int Id,
    string Device,
    string Root,
    string Target,
    IReadOnlyList<string> Options,
    string Type,
    string Source,
    IReadOnlyList<string> FileSystemOptions)
{
    public bool IsReadOnly => Options.Contains("ro");

    /// <summary>Which part of which file system it is: the same for each mount of it, and no other's.</summary>
    public string Identity => $"{Device} {Root}";
}

/// <summary>The mounts that this process sees.</summary>
public static class MountTable
{
    /// <summary>All of them, in the order in which they were made: of those on one target the last is on top.</summary>
    /// <exception cref="IOException">/proc is not mounted.</exception>
    public static IReadOnlyList<MountEntry> Read() => ParseAll(File.ReadAllText("/proc/self/mountinfo"));

    /// <summary>Mounts on the path, the topmost last.</summary>
    public static IReadOnlyList<MountEntry> At(string path)
    {
        string canonical = Canonical(path);
        return [.. Read().Where(entry => entry.Target == canonical)];
    }

    /// <summary>
    /// The path as mountinfo has it: the folder it is in resolved, the last name as it stands, so that what is mounted there need not answer.
    /// </summary>
    public static string Canonical(string path)
    {
        string trimmed = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        return Path.GetDirectoryName(trimmed) is { } folder && Resolve(folder) is { } resolved ? Path.Combine(resolved, Path.GetFileName(trimmed)) : trimmed;
    }

    /// <summary>Where a folder really is, all symbolic links followed; null where there is no such folder.</summary>
    public static string? Resolve(string folder)
    {
        using FileDescriptor? open = TryOpenFolder(folder);
        return open is null ? null : PathOf(open);
    }

    /// <summary>Opens a folder as a place only, all symbolic links followed; null where there is no such folder.</summary>
    internal static FileDescriptor? TryOpenFolder(string folder)
    {
        int descriptor = Libc.Open(folder, StorageConstants.O_PATH | StorageConstants.O_DIRECTORY | Files.O_CLOEXEC);
        return descriptor < 0 ? null : FileDescriptor.Own(descriptor, folder);
    }

    internal static string? PathOf(FileDescriptor folder) => new FileInfo($"/proc/self/fd/{folder.Number.ToString(CultureInfo.InvariantCulture)}").LinkTarget;

    /// <summary>A line ends with a line feed only: the kernel leaves a carriage return in a path as it is.</summary>
    internal static IReadOnlyList<MountEntry> ParseAll(string text) => [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(Parse)];

    private static MountEntry Parse(string line)
    {
        string[] words = line.Split(' ');
        int separator = Array.IndexOf(words, "-", 6);
        return new MountEntry(
            int.Parse(words[0], CultureInfo.InvariantCulture),
            words[2],
            Unescape(words[3]),
            Unescape(words[4]),
            words[5].Split(','),
            words[separator + 1],
            Unescape(words[separator + 2]),
            words[separator + 3].Split(','));
    }

    /// <summary>Undoes <c>\040</c> and the like, byte by byte.</summary>
    private static string Unescape(string text)
    {
        if (!text.Contains('\\', StringComparison.Ordinal)) return text;
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        int length = 0;
        for (int index = 0; index < bytes.Length; index++)
        {
            if (bytes[index] == '\\' && index + 3 < bytes.Length)
            {
                bytes[length++] = (byte)(((bytes[index + 1] - '0') << 6) | ((bytes[index + 2] - '0') << 3) | (bytes[index + 3] - '0'));
                index += 3;
            }
            else
            {
                bytes[length++] = bytes[index];
            }
        }
        return Encoding.UTF8.GetString(bytes, 0, length);
    }
}
