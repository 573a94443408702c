using Overlay.Linux.Interop;

namespace Overlay.Linux;

/// <summary>
/// Time since the host booted, also that in which it slept (CLOCK_BOOTTIME of clock_gettime(2)). Nobody can set it. The wall clock is the system's.
/// </summary>
public sealed unsafe class BootTime : TimeProvider
{
    private const long Second = 1_000_000_000;

    private BootTime()
    {
    }

    public static BootTime Clock { get; } = new();

    /// <summary>Nanoseconds.</summary>
    public override long TimestampFrequency => Second;

    /// <exception cref="LinuxException">The kernel has no such clock.</exception>
    public override long GetTimestamp()
    {
        Timespec time;
        if (Libc.GetTime(Files.CLOCK_BOOTTIME, &time) < 0) throw LinuxException.Last("clock_gettime CLOCK_BOOTTIME");
        return (time.tv_sec * Second) + time.tv_nsec;
    }
}
