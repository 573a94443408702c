namespace Overlay.Control.Stores;

/// <summary>A key and its value.</summary>
/// <param name="Created">Revision in which the key came into being, for the last time.</param>
/// <param name="Revision">Revision of the last change of the value.</param>
public sealed record StoreEntry(string Key, ReadOnlyMemory<byte> Value, long Created, long Revision);

/// <summary>Entries as they were at one revision of the store.</summary>
public sealed record StoreRange(long Revision, IReadOnlyList<StoreEntry> Entries);

/// <summary>What one transaction, or the end of a lease, changed.</summary>
/// <param name="Events">At most one a key.</param>
public sealed record StoreChange(long Revision, IReadOnlyList<StoreEvent> Events)
{
    /// <summary>Changes were compacted away: the watcher has to read everything again and watch from there.</summary>
    public static StoreChange StartOver { get; } = new(-1, []);
}

/// <param name="Entry">Null: the key was deleted.</param>
public readonly record struct StoreEvent(string Key, StoreEntry? Entry);
