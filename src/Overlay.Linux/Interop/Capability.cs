using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>linux/capability.h.</summary>
internal static class CapabilityNumbers
{
    public const uint _LINUX_CAPABILITY_VERSION_3 = 0x20080522;
    public const int CAP_NET_ADMIN = 12;
    public const int CAP_NET_RAW = 13;
}

[NativeStruct("__user_cap_header_struct"), StructLayout(LayoutKind.Sequential)]
internal struct UserCapHeader
{
    public uint version;
    public int pid;
}

[NativeStruct("__user_cap_data_struct"), StructLayout(LayoutKind.Sequential)]
internal struct UserCapData
{
    public uint effective;
    public uint permitted;
    public uint inheritable;
}
