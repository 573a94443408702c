using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>linux/mount.h, sys/mount.h.</summary>
internal static class MountConstants
{
    public const uint OPEN_TREE_CLONE = 1;
    public const uint MOVE_MOUNT_F_EMPTY_PATH = 4;
    public const uint FSOPEN_CLOEXEC = 1;
    public const uint FSMOUNT_CLOEXEC = 1;
    public const uint FSCONFIG_SET_FLAG = 0;
    public const uint FSCONFIG_SET_STRING = 1;
    public const uint FSCONFIG_CMD_CREATE = 6;
    public const ulong MOUNT_ATTR_RDONLY = 0x1;
    public const ulong MOUNT_ATTR_NOSUID = 0x2;
    public const ulong MOUNT_ATTR_NODEV = 0x4;
    public const ulong MOUNT_ATTR_NOEXEC = 0x8;
    public const ulong MOUNT_ATTR_NOATIME = 0x10;
    public const ulong MOUNT_ATTR_STRICTATIME = 0x20;
    public const ulong MOUNT_ATTR_NODIRATIME = 0x80;
    public const ulong MOUNT_ATTR__ATIME = 0x70;
    public const int UMOUNT_NOFOLLOW = 8;
}

[NativeStruct("mount_attr"), StructLayout(LayoutKind.Sequential)]
internal struct MountAttr
{
    public ulong attr_set;
    public ulong attr_clr;
    public ulong propagation;
    public ulong userns_fd;
}
