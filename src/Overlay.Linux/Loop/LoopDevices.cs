using Overlay.Linux.Interop;
using Overlay.Linux.Storage;

namespace Overlay.Linux.Loop;

/// <summary>The loop devices of this host, as the kernel knows them.</summary>
public static class LoopDevices
{
    /// <summary>
    /// Devices that read the file, by device and inode (LOOP_GET_STATUS64): the path that a device was given may since lead elsewhere.
    /// </summary>
    /// <exception cref="LinuxException">A device that is in use cannot be asked.</exception>
    public static unsafe IReadOnlyList<string> BackedBy(FileIdentity file)
    {
        var found = new List<string>();
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
            if (info.lo_device == file.Device && info.lo_inode == file.Inode) found.Add(device);
        }
        return found;
    }
}
