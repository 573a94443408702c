namespace Overlay.Linux.Tap;

/// <summary>Which TAP device to open.</summary>
public sealed class TapOptions
{
    /// <summary>Interface name, at most 15 bytes. An existing TAP device of this name is attached to.</summary>
    public required string Name { get; init; }

    /// <summary>Queues to attach; more than one makes the device multi-queue.</summary>
    public int Queues { get; init; } = 1;

    /// <summary>What the device may leave to us at most.</summary>
    public TapOffloads Offloads { get; init; } = TapOffloads.All;

    /// <summary>Whether the device outlives the last descriptor.</summary>
    public bool Persistent { get; init; }
}
