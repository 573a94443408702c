using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>fcntl.h, poll.h, sched.h, time.h, sys/eventfd.h, linux/nsfs.h.</summary>
internal static class Files
{
    public const int O_RDWR = 2;
    public const int O_NONBLOCK = 0x800;
    public const int O_CLOEXEC = 0x80000;
    public const int EFD_NONBLOCK = 0x800;
    public const int EFD_CLOEXEC = 0x80000;
    public const short POLLIN = 1;
    public const int CLOCK_BOOTTIME = 7;
    public const int UIO_MAXIOV = 1024;
    public const int NS_GET_NSTYPE = 0xb703;
    public const int CLONE_NEWNET = 0x40000000;
}

[NativeStruct("timespec"), StructLayout(LayoutKind.Sequential)]
internal struct Timespec
{
    public nint tv_sec;
    public nint tv_nsec;
}

[NativeStruct("pollfd"), StructLayout(LayoutKind.Sequential)]
internal struct PollFd
{
    public int fd;
    public short events;
    public short revents;
}
