using System.Runtime.InteropServices;
using Overlay.Linux.Interop;

namespace Overlay.Linux;

/// <summary>Lets one worker sleep until a descriptor is readable, another thread wakes it, or time is up.</summary>
public sealed unsafe class Poller : IDisposable
{
    private readonly FileDescriptor _event;
    private readonly PollFd[] _descriptors;

    /// <param name="descriptors">Watched for reading, in this order; they stay their owners'.</param>
    public Poller(params ReadOnlySpan<int> descriptors)
    {
        _event = FileDescriptor.Own(Libc.EventFd(0, Files.EFD_NONBLOCK | Files.EFD_CLOEXEC), "eventfd");
        _descriptors = GC.AllocateArray<PollFd>(descriptors.Length + 1, pinned: true);
        for (int i = 0; i < descriptors.Length; i++) _descriptors[i] = new PollFd { fd = descriptors[i], events = Files.POLLIN };
        _descriptors[^1] = new PollFd { fd = _event.Number, events = Files.POLLIN };
    }

    /// <summary>Waits. A call that was interrupted by a signal returns early.</summary>
    /// <param name="timeoutMilliseconds">Not negative: every wait has an end.</param>
    /// <returns>True when a descriptor is ready or <see cref="Wake"/> was called; false when time was up first.</returns>
    public bool Wait(int timeoutMilliseconds)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(timeoutMilliseconds);
        int ready;
        fixed (PollFd* descriptors = _descriptors) ready = Libc.Poll(descriptors, (nuint)_descriptors.Length, timeoutMilliseconds);
        if (ready < 0)
        {
            int errno = Marshal.GetLastSystemError();
            if (errno != Errno.EINTR) throw new LinuxException("poll", errno);
            return false;
        }
        if (_descriptors[^1].revents != 0)
        {
            ulong count;
            _ = Libc.Read(_event.Number, &count, sizeof(ulong));
        }
        return ready > 0;
    }

    /// <summary>Ends the current or the next <see cref="Wait"/>. For any thread.</summary>
    public void Wake()
    {
        ulong one = 1;
        _ = Libc.Write(_event.Number, &one, sizeof(ulong));
    }

    public void Dispose() => _event.Dispose();
}
