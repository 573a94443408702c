using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>fcntl.h, linux/stat.h, linux/loop.h.</summary>
internal static class StorageConstants
{
    public const int O_DIRECTORY = 0x10000;
    public const int AT_FDCWD = -100;
    public const uint STATX_BASIC_STATS = 0x7ff;
    public const uint LOOP_GET_STATUS64 = 0x4c05;
}

[NativeStruct("statx"), StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct StatxBuffer
{
    [FieldOffset(32)]
    public ulong stx_ino;
    [FieldOffset(40)]
    public ulong stx_size;
    [FieldOffset(48)]
    public ulong stx_blocks;
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
}
