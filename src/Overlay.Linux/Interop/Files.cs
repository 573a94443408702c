using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>fcntl.h, poll.h, sys/eventfd.h.</summary>
internal static class Files
{
    public const int O_RDWR = 2;
    public const int O_NONBLOCK = 0x800;
    public const int O_CLOEXEC = 0x80000;
    public const int EFD_NONBLOCK = 0x800;
    public const int EFD_CLOEXEC = 0x80000;
    public const short POLLIN = 1;
    public const int UIO_MAXIOV = 1024;
}

[NativeStruct("pollfd"), StructLayout(LayoutKind.Sequential)]
internal struct PollFd
{
    public int fd;
    public short events;
    public short revents;
}
