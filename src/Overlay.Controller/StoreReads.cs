using Overlay.Control.Stores;

namespace Overlay.Controller;

/// <summary>Reads of the store itself, where what the cache knows is not enough.</summary>
internal static class StoreReads
{
    /// <summary>An entry as it is now, or null.</summary>
    public static async Task<StoreEntry?> FindAsync(this IControlStore store, string key, CancellationToken cancellation)
    {
        StoreRange range = (await store.ReadAsync(key, null, cancellation).ConfigureAwait(false))!;
        return range.Entries.FirstOrDefault(entry => entry.Key == key);
    }
}
