namespace Overlay.Testing;

/// <summary>A clock that tests set: its monotonic time and its wall time move apart, as when somebody sets the host's clock.</summary>
public sealed class ManualTime : TimeProvider
{
    private long _ticks = TimeSpan.FromDays(1).Ticks;
    private long _jump;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Volatile.Read(ref _ticks);

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch.AddTicks(Volatile.Read(ref _ticks) + Volatile.Read(ref _jump));

    public void Advance(TimeSpan time) => Interlocked.Add(ref _ticks, time.Ticks);

    public void JumpWallClock(TimeSpan by) => Interlocked.Add(ref _jump, by.Ticks);
}
