using System.Globalization;
using Overlay.Linux.Interop;
using Overlay.Linux.Storage;

namespace Overlay.Linux.Loop;

/// <summary>A loop device that has a file.</summary>
/// <param name="Path">Such as <c>/dev/loop3</c>.</param>
/// <param name="IsReadOnly">Whether it refuses to be written.</param>
/// <param name="IsAutoClear">Whether it lets its file go when the last one that has it open or mounted does.</param>
public sealed record LoopDevice(string Path, bool IsReadOnly, bool IsAutoClear)
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
    /// <exception cref="LinuxException">A device that is in use cannot be asked.</exception>
    public static IReadOnlyList<LoopDevice> BackedBy(FileIdentity file)
    {
        var found = new List<LoopDevice>();
        foreach (string name in Directory.EnumerateDirectories("/sys/block", "loop*").Select(folder => Path.GetFileName(folder)))
        {
            // Only a device with a file has this folder.
            if (!Directory.Exists($"/sys/block/{name}/loop")) continue;
            string device = $"/dev/{name}";
            using FileDescriptor descriptor = FileDescriptor.Own(Libc.Open(device, Files.O_CLOEXEC), $"open {device}");
            LoopInfo64 info;
            if (Libc.Ioctl(descriptor.Number, StorageConstants.LOOP_GET_STATUS64, &info) < 0)
            {
                var problem = LinuxException.Last($"LOOP_GET_STATUS64 {device}");
                // Detached since the folder was read.
                if (problem.Errno == Errno.ENXIO) continue;
                throw problem;
            }
            if (info.lo_device == file.Device && info.lo_inode == file.Inode) found.Add(Describe(device, info.lo_flags));
        }
        return found;
    }

    /// <summary>Gives the file a loop device of its own, with direct I/O where the file's file system has it for such sectors.</summary>
    /// <param name="image">Opened for writing unless the device is to be read-only.</param>
    /// <param name="readOnly">Whether the device refuses to be written.</param>
    /// <param name="autoClear">Whether the device goes with the last one that has it open or mounted.</param>
    /// <exception cref="LinuxException">There is no free device, or the kernel refuses the file.</exception>
    public static AttachedLoop Attach(FileDescriptor image, bool readOnly, bool autoClear)
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
            if (Libc.Ioctl(device.Number, StorageConstants.LOOP_CONFIGURE, &config) == 0)
            {
                return new AttachedLoop(new LoopDevice(path, readOnly, autoClear), device);
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

    private static LoopDevice Describe(string path, uint flags) =>
        new(path, (flags & StorageConstants.LO_FLAGS_READ_ONLY) != 0, (flags & StorageConstants.LO_FLAGS_AUTOCLEAR) != 0);
}
