namespace Overlay.Control;

/// <summary>
/// Time that no one can set: milliseconds of a clock that runs from the boot of the host and is the same in all its processes, with the
/// boot's identity, as times of two boots do not compare.
/// </summary>
/// <param name="boot">The boot's identity; null: that of the host's.</param>
public sealed class BootClock(TimeProvider time, string? boot = null)
{
    public string Boot { get; } = boot ?? File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();

    public long Milliseconds => (long)((Int128)time.GetTimestamp() * 1000 / time.TimestampFrequency);
}
