using System.Text;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Mounts;

/// <summary>What a mount allows, whatever the file system does.</summary>
[Flags]
public enum MountAttributes
{
    None = 0,
    ReadOnly = (int)MountConstants.MOUNT_ATTR_RDONLY,
    NoSetuid = (int)MountConstants.MOUNT_ATTR_NOSUID,
    NoDevices = (int)MountConstants.MOUNT_ATTR_NODEV,
    NoExecution = (int)MountConstants.MOUNT_ATTR_NOEXEC,
    NoAccessTimes = (int)MountConstants.MOUNT_ATTR_NOATIME,
    StrictAccessTimes = (int)MountConstants.MOUNT_ATTR_STRICTATIME,
    NoFolderAccessTimes = (int)MountConstants.MOUNT_ATTR_NODIRATIME,
}

/// <summary>A mount that is nowhere yet. It goes with this object, or is moved to its target as it is, in one step.</summary>
public sealed unsafe class DetachedMount : IDisposable
{
    private readonly FileDescriptor _tree;

    private DetachedMount(FileDescriptor tree) => _tree = tree;

    /// <summary>Mounts a file system (fsopen(2), fsmount(2)).</summary>
    /// <param name="type">Name of the file system, such as <c>ext4</c>.</param>
    /// <param name="source">A device, or what else the file system takes.</param>
    /// <param name="options">Of the file system; the value is null for those that have none.</param>
    /// <param name="attributes">Of the mount.</param>
    /// <exception cref="LinuxException">With what the file system said of it. ENODEV: the kernel has no such file system.</exception>
    public static DetachedMount Of(
        string type, string source, IEnumerable<KeyValuePair<string, string?>> options, MountAttributes attributes)
    {
        using FileDescriptor context = FileDescriptor.Own(LibcStorage.OpenFileSystem(type, MountConstants.FSOPEN_CLOEXEC), $"fsopen {type}");
        Configure(context, MountConstants.FSCONFIG_SET_STRING, "source", source);
        foreach ((string key, string? value) in options)
        {
            Configure(context, value is null ? MountConstants.FSCONFIG_SET_FLAG : MountConstants.FSCONFIG_SET_STRING, key, value);
        }
        Configure(context, MountConstants.FSCONFIG_CMD_CREATE, null, null);
        int tree = LibcStorage.MountFileSystem(context.Number, MountConstants.FSMOUNT_CLOEXEC, (uint)attributes);
        return new DetachedMount(FileDescriptor.Own(tree, $"fsmount {type}"));
    }

    /// <summary>Another mount of what is at a path: a folder, or a file such as the node of a device (open_tree(2)).</summary>
    /// <exception cref="LinuxException">There is nothing, or it does not answer.</exception>
    public static DetachedMount Copy(string path) => new(FileDescriptor.Own(
        LibcStorage.OpenTree(StorageConstants.AT_FDCWD, path, MountConstants.OPEN_TREE_CLONE | (uint)Files.O_CLOEXEC), $"open_tree {path}"));

    /// <summary>As <see cref="Copy"/>, of a folder that no symbolic link leads to; null where there is none.</summary>
    /// <exception cref="LinuxException">It does not answer.</exception>
    public static DetachedMount? CopyResolved(string folder)
    {
        using FileDescriptor? open = MountTable.TryOpenFolder(folder);
        if (open is null || MountTable.PathOf(open) != folder) return null;
        return new(FileDescriptor.Own(
            LibcStorage.OpenTree(open.Number, "", MountConstants.OPEN_TREE_CLONE | (uint)(Files.O_CLOEXEC | StorageConstants.AT_EMPTY_PATH)), $"open_tree {folder}"));
    }

    /// <summary>Takes rights away from the mount (mount_setattr(2)); all other mounts keep theirs.</summary>
    /// <exception cref="LinuxException">The kernel refuses.</exception>
    public void Restrict(MountAttributes attributes)
    {
        var change = new MountAttr { attr_set = (ulong)attributes };
        // The access times are a choice of one, not a set.
        if ((change.attr_set & MountConstants.MOUNT_ATTR__ATIME) != 0) change.attr_clr = MountConstants.MOUNT_ATTR__ATIME;
        if (LibcStorage.SetMountAttributes(_tree.Number, "", StorageConstants.AT_EMPTY_PATH, &change, (nuint)sizeof(MountAttr)) < 0)
        {
            throw LinuxException.Last("mount_setattr");
        }
    }

    /// <summary>Puts it onto a folder, or onto a file where it is of a file. It then stays when this object goes.</summary>
    /// <exception cref="LinuxException">The target is not there, or not of the kind.</exception>
    public void MoveTo(string target)
    {
        if (LibcStorage.MoveMount(_tree.Number, "", StorageConstants.AT_FDCWD, target, MountConstants.MOVE_MOUNT_F_EMPTY_PATH) < 0)
        {
            throw LinuxException.Last($"move_mount to {target}");
        }
    }

    public void Dispose() => _tree.Dispose();

    /// <summary>Neither key nor value go into the error: either may be secret.</summary>
    private static void Configure(FileDescriptor context, uint command, string? key, string? value)
    {
        if (LibcStorage.ConfigureFileSystem(context.Number, command, key, value, 0) == 0) return;
        var problem = LinuxException.Last("fsconfig");
        throw new LinuxException("fsconfig", problem.Errno, Messages(context));
    }

    /// <summary>What the file system says of its errors: a message a read, behind a letter and a space.</summary>
    private static string Messages(FileDescriptor context)
    {
        var text = new StringBuilder();
        byte* buffer = stackalloc byte[1024];
        for (nint read; (read = Libc.Read(context.Number, buffer, 1024)) > 2;)
        {
            if (text.Length > 0) text.Append("; ");
            text.Append(Encoding.UTF8.GetString(buffer + 2, (int)read - 2).TrimEnd('\n'));
        }
        return text.ToString();
    }
}
