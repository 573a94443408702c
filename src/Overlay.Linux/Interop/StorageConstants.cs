using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>fcntl.h, unistd.h, linux/stat.h, linux/loop.h, linux/fs.h, signal.h, sys/file.h.</summary>
internal static class StorageConstants
{
    public const int O_EXCL = 0x80;
    public const int O_DIRECTORY = 0x10000;
    public const int O_NOFOLLOW = 0x20000;
    public const int O_PATH = 0x200000;
    public const int AT_FDCWD = -100;
    public const int AT_EMPTY_PATH = 0x1000;
    public const int AT_SYMLINK_NOFOLLOW = 0x100;
    public const int AT_NO_AUTOMOUNT = 0x800;
    public const int AT_STATX_DONT_SYNC = 0x4000;
    public const uint STATX_BASIC_STATS = 0x7ff;
    public const int SEEK_END = 2;
    public const int SEEK_DATA = 3;
    public const int SEEK_HOLE = 4;

    public const uint LOOP_GET_STATUS64 = 0x4c05;
    public const uint LOOP_CLR_FD = 0x4c01;
    public const uint LOOP_SET_CAPACITY = 0x4c07;
    public const uint LOOP_CONFIGURE = 0x4c0a;
    public const uint LOOP_CTL_GET_FREE = 0x4c82;
    public const uint LO_FLAGS_READ_ONLY = 1;
    public const uint LO_FLAGS_AUTOCLEAR = 4;
    public const uint LO_FLAGS_DIRECT_IO = 16;
    public const int LO_NAME_SIZE = 64;

    public const uint FICLONE = 0x40049409;
    public const uint FIFREEZE = 0xc0045877;
    public const uint FITHAW = 0xc0045878;

    public const int FALLOC_FL_UNSHARE_RANGE = 0x40;
    public const uint FS_IOC_FIEMAP = 0xc020660b;
    public const uint FIEMAP_EXTENT_LAST = 0x1;
    public const uint FIEMAP_EXTENT_SHARED = 0x2000;

    public const int SIGKILL = 9;
    public const int LOCK_EX = 2;
    public const int LOCK_NB = 4;
}

[NativeStruct("statx"), StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct StatxBuffer
{
    [FieldOffset(28)]
    public ushort stx_mode;
    [FieldOffset(32)]
    public ulong stx_ino;
    [FieldOffset(40)]
    public ulong stx_size;
    [FieldOffset(48)]
    public ulong stx_blocks;
    [FieldOffset(128)]
    public uint stx_rdev_major;
    [FieldOffset(132)]
    public uint stx_rdev_minor;
    [FieldOffset(136)]
    public uint stx_dev_major;
    [FieldOffset(140)]
    public uint stx_dev_minor;
}

[NativeStruct("loop_info64"), StructLayout(LayoutKind.Explicit, Size = 232)]
internal struct LoopInfo64
{
    [FieldOffset(0)]
    public ulong lo_device;
    [FieldOffset(8)]
    public ulong lo_inode;
    [FieldOffset(52)]
    public uint lo_flags;
    [FieldOffset(56)]
    public LoopName lo_file_name;
}

/// <summary>Bytes of a text that ends with a zero.</summary>
[InlineArray(StorageConstants.LO_NAME_SIZE)]
internal struct LoopName
{
    private byte _first;
}

/// <summary>The reserved words at its end are zero.</summary>
[NativeStruct("loop_config"), StructLayout(LayoutKind.Explicit, Size = 304)]
internal struct LoopConfig
{
    [FieldOffset(0)]
    public uint fd;
    [FieldOffset(4)]
    public uint block_size;
    [FieldOffset(8)]
    public LoopInfo64 info;
}

[NativeStruct("statvfs"), StructLayout(LayoutKind.Explicit, Size = 112)]
internal struct StatVfs
{
    [FieldOffset(8)]
    public ulong f_frsize;
    [FieldOffset(16)]
    public ulong f_blocks;
    [FieldOffset(24)]
    public ulong f_bfree;
    [FieldOffset(32)]
    public ulong f_bavail;
    [FieldOffset(40)]
    public ulong f_files;
    [FieldOffset(48)]
    public ulong f_ffree;
    [FieldOffset(56)]
    public ulong f_favail;
}

/// <summary>Its extents follow.</summary>
[NativeStruct("fiemap"), StructLayout(LayoutKind.Explicit, Size = 32)]
internal struct FileMap
{
    [FieldOffset(0)]
    public ulong fm_start;
    [FieldOffset(8)]
    public ulong fm_length;
    [FieldOffset(20)]
    public uint fm_mapped_extents;
    [FieldOffset(24)]
    public uint fm_extent_count;
}

[NativeStruct("fiemap_extent"), StructLayout(LayoutKind.Explicit, Size = 56)]
internal struct FileMapExtent
{
    [FieldOffset(0)]
    public ulong fe_logical;
    [FieldOffset(16)]
    public ulong fe_length;
    [FieldOffset(40)]
    public uint fe_flags;
}
