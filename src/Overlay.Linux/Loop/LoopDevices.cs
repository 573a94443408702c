using System.Globalization;
using System.Text;
using Overlay.Linux.Interop;
using Overlay.Linux.Storage;

namespace Overlay.Linux.Loop;

/// <summary>A loop device that has a file.</summary>
/// <param name="Path">Such as <c>/dev/loop3</c>.</param>
/// <param name="IsReadOnly">Whether it refuses to be written.</param>
/// <param name="IsAutoClear">Whether it lets its file go when the last one that has it open or mounted does.</param>
/// <param name="Label">What whoever made it called it; programs write the path of the file there.</param>
public sealed record LoopDevice(string Path, bool IsReadOnly, bool IsAutoClear, string Label)
{
    /// <summary>Name below <c>/dev</c> and <c>/sys/block</c>.</summary>
    public string Name => System.IO.Path.GetFileName(Path);
}

/// <summary>A loop device that this process just made, and holds open until it is disposed.</summary>
public sealed class AttachedLoop(LoopDevice device, FileDescriptor descriptor) : IDisposable
{
    public LoopDevice Device => device;

    public FileDescriptor Descriptor => descriptor;

    /// <summary>An auto-clear device that nobody mounted meanwhile lets its file go here.</summary>
    public void Dispose() => descriptor.Dispose();
}

/// <summary>The loop devices of this host, as the kernel knows them.</summary>
public static unsafe class LoopDevices
{
    private const int Attempts = 64;

    /// <summary>The same everywhere: a file system that was made with small blocks does not mount from a device that has larger sectors.</summary>
    private const uint SectorBytes = 512;

    /// <summary>
    /// Devices that read the file, by device and inode (LOOP_GET_STATUS64): the path that a device was given may since lead elsewhere.
    /// </summary>
    /// <param name="file">Null: of no file, so by label only.</param>
    /// <param name="label">Those with this label as well, whatever file they read.</param>
    /// <param name="paths">
    /// Where the file is: a device whose file's disk does not answer tells neither file nor label, only the path that it was made with, and is
    /// taken to have that label.
    /// </param>
    /// <exception cref="LinuxException">A device that is in use cannot be opened.</exception>
    public static IReadOnlyList<LoopDevice> Of(FileIdentity? file, string? label = null, params IReadOnlyList<string> paths)
    {
        var found = new List<LoopDevice>();
        foreach (string name in Directory.EnumerateDirectories("/sys/block", "loop*").Select(folder => Path.GetFileName(folder)))
        {
            if (StatusOf(name, out bool isUnreadable) is not { } info)
            {
                if (isUnreadable && paths.Contains(TextOf(name, "loop/backing_file"))) found.Add(Describe(name, label ?? ""));
                continue;
            }
            LoopDevice loop = Describe($"/dev/{name}", info);
            if (loop.Label == label || (info.lo_device == file?.Device && info.lo_inode == file?.Inode)) found.Add(loop);
        }
        return found;
    }

    /// <summary>The loop device of a path; null where it has no file, or the file's disk does not answer.</summary>
    /// <exception cref="LinuxException">It cannot be opened.</exception>
    public static LoopDevice? At(string path) => StatusOf(Path.GetFileName(path), out _) is { } info ? Describe(path, info) : null;

    /// <summary>Gives the file a loop device of its own, with direct I/O where the file's file system has it for such sectors.</summary>
    /// <param name="image">Opened for writing unless the device is to be read-only.</param>
    /// <param name="readOnly">Whether the device refuses to be written.</param>
    /// <param name="autoClear">Whether the device goes with the last one that has it open or mounted.</param>
    /// <param name="label">Name by which the device is known again: ASCII; what is beyond 63 bytes is cut off.</param>
    /// <exception cref="LinuxException">There is no free device, or the kernel refuses the file.</exception>
    public static AttachedLoop Attach(FileDescriptor image, bool readOnly, bool autoClear, string label)
    {
        using FileDescriptor control = FileDescriptor.Own(Libc.Open("/dev/loop-control", Files.O_RDWR | Files.O_CLOEXEC), "open /dev/loop-control");
        for (int attempt = 1; ; attempt++)
        {
            int number = Libc.Ioctl(control.Number, StorageConstants.LOOP_CTL_GET_FREE, null);
            if (number < 0) throw LinuxException.Last("LOOP_CTL_GET_FREE");
            string path = string.Create(CultureInfo.InvariantCulture, $"/dev/loop{number}");
            FileDescriptor device = FileDescriptor.Own(Libc.Open(path, Files.O_RDWR | Files.O_CLOEXEC), $"open {path}");
            var config = new LoopConfig
            {
                fd = (uint)image.Number,
                block_size = SectorBytes,
                info = new LoopInfo64
                {
                    lo_flags = StorageConstants.LO_FLAGS_DIRECT_IO
                        | (readOnly ? StorageConstants.LO_FLAGS_READ_ONLY : 0)
                        | (autoClear ? StorageConstants.LO_FLAGS_AUTOCLEAR : 0),
                },
            };
            Encoding.ASCII.GetBytes(label.AsSpan(0, Math.Min(label.Length, StorageConstants.LO_NAME_SIZE - 1)), config.info.lo_file_name);
            if (Libc.Ioctl(device.Number, StorageConstants.LOOP_CONFIGURE, &config) == 0)
            {
                return new AttachedLoop(new LoopDevice(path, readOnly, autoClear, label), device);
            }
            var problem = LinuxException.Last($"LOOP_CONFIGURE {path}");
            device.Dispose();
            // Somebody else took the free one meanwhile.
            if (problem.Errno != Errno.EBUSY || attempt == Attempts) throw problem;
        }
    }

    /// <summary>Lets the device's file go, at once where nobody else has the device open, else when the last one closes it.</summary>
    /// <exception cref="LinuxException">The device cannot be opened.</exception>
    public static void Detach(LoopDevice loop)
    {
        using FileDescriptor device = FileDescriptor.Own(Libc.Open(loop.Path, Files.O_CLOEXEC), $"open {loop.Path}");
        if (Libc.Ioctl(device.Number, StorageConstants.LOOP_CLR_FD, null) == 0) return;
        var problem = LinuxException.Last($"LOOP_CLR_FD {loop.Path}");
        if (problem.Errno != Errno.ENXIO) throw problem;
    }

    /// <summary>Makes the device as large as its file has become.</summary>
    /// <exception cref="LinuxException">The kernel refuses.</exception>
    public static void Resize(LoopDevice loop)
    {
        using FileDescriptor device = FileDescriptor.Own(Libc.Open(loop.Path, Files.O_CLOEXEC), $"open {loop.Path}");
        if (Libc.Ioctl(device.Number, StorageConstants.LOOP_SET_CAPACITY, null) < 0) throw LinuxException.Last($"LOOP_SET_CAPACITY {loop.Path}");
    }

    /// <summary>Null where the device has no file, or is gone.</summary>
    /// <param name="isUnreadable">Whether it has a file, and the kernel cannot look at that.</param>
    private static LoopInfo64? StatusOf(string name, out bool isUnreadable)
    {
        isUnreadable = false;
        // Only a device with a file has this folder.
        string folder = $"/sys/block/{name}/loop", device = $"/dev/{name}";
        if (!Directory.Exists(folder)) return null;
        int opened = Libc.Open(device, Files.O_CLOEXEC);
        using FileDescriptor? descriptor = opened >= 0 ? FileDescriptor.Own(opened, device) : null;
        LoopInfo64 info;
        if (descriptor is not null && Libc.Ioctl(descriptor.Number, StorageConstants.LOOP_GET_STATUS64, &info) == 0) return info;
        var problem = LinuxException.Last(descriptor is null ? $"open {device}" : $"LOOP_GET_STATUS64 {device}");
        // Detached or removed since the folder was looked for.
        if (problem.Errno == Errno.ENXIO || !Directory.Exists(folder)) return null;
        isUnreadable = descriptor is not null;
        return isUnreadable ? null : throw problem;
    }

    private static LoopDevice Describe(string name, string label) =>
        new($"/dev/{name}", TextOf(name, "ro") == "1", TextOf(name, "loop/autoclear") == "1", label);

    /// <summary>What sysfs tells of a device; empty where it is gone.</summary>
    private static string TextOf(string name, string attribute)
    {
        try
        {
            return File.ReadAllText($"/sys/block/{name}/{attribute}").TrimEnd('\n');
        }
        catch (IOException)
        {
            return "";
        }
    }

    private static LoopDevice Describe(string path, LoopInfo64 info)
    {
        ReadOnlySpan<byte> label = info.lo_file_name;
        int end = label.IndexOf((byte)0);
        return new LoopDevice(
            path,
            (info.lo_flags & StorageConstants.LO_FLAGS_READ_ONLY) != 0,
            (info.lo_flags & StorageConstants.LO_FLAGS_AUTOCLEAR) != 0,
            Encoding.UTF8.GetString(end < 0 ? label : label[..end]));
    }
}
