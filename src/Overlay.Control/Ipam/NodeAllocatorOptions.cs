namespace Overlay.Control.Ipam;

public sealed record NodeAllocatorOptions
{
    /// <summary>The journal's file.</summary>
    public required string Journal { get; init; }

    /// <summary>How long a released address is given to nobody but its last owner.</summary>
    public TimeSpan CoolDown { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Whether the blocks are leased, so that others get them when controllers do not hear of this node: addresses are then handed out only as long
    /// as <see cref="NodeAllocator.ConfirmBlocks"/> says.
    /// </summary>
    public bool IsLeased { get; init; }

    /// <summary>Free addresses of a network and family under which another block is wanted.</summary>
    public int LowWater { get; init; } = 32;

    /// <summary>Free addresses above which an idle block is given back.</summary>
    public int HighWater { get; init; } = 128;

    /// <summary>How long a leak has to be seen before it is released.</summary>
    public TimeSpan LeakConfirmation { get; init; } = TimeSpan.FromMinutes(2);
}

public enum AllocationStatus
{
    Allocated,

    /// <summary>The owner has it from before.</summary>
    Unchanged,

    /// <summary>No address is free in the blocks of this node; another block is wanted.</summary>
    Exhausted,

    /// <summary>The journal cannot be written.</summary>
    JournalFailed,

    /// <summary>The blocks may be another node's by now.</summary>
    Unconfirmed,

    /// <summary>The address asked for is in no block of this node, or is spared.</summary>
    NotHere,

    /// <summary>The address asked for is another's, or cools down.</summary>
    Taken,
}

/// <param name="Problem">What to tell the caller; null on success.</param>
public readonly record struct Allocation(AllocationStatus Status, System.Net.IPAddress? Address, string? Problem);
