using Overlay.Control.Model;
using Overlay.Control.Stores;

namespace Overlay.Control.State;

/// <summary>
/// Marks of the store's history, one more for each controller that starts. A revision alone does not tell a watcher that a backup was restored, once the
/// store has as many revisions again; the mark that was in force at a revision does, as a backup has none that was set after it.
/// </summary>
public static class HistoryMarks
{
    /// <summary>Whoever knows none of so many starts over.</summary>
    private const int MostEarlier = 64;

    /// <summary>Sets another mark.</summary>
    /// <returns>The revision from which on it is in force.</returns>
    /// <exception cref="StoreException">It cannot be written.</exception>
    public static async Task<long> SetAsync(IControlStore store, CancellationToken cancellation)
    {
        while (true)
        {
            StoreRange range = (await store.ReadAsync(StateKeys.History, null, cancellation).ConfigureAwait(false))!;
            StoreEntry? entry = range.Entries.FirstOrDefault(each => each.Key == StateKeys.History);
            HistoryDocument? known = entry is null ? null : StateDocuments.History(entry);
            var next = new HistoryDocument(
                Guid.NewGuid().ToString("N"), known is null ? [] : [new EarlierMark(known.Mark, entry!.Revision), .. known.Earlier.Take(MostEarlier - 1)]);
            CommitResult result = await store.CommitAsync(
                new StoreTransaction().Require(StateKeys.History, entry?.Revision ?? 0).Put(StateKeys.History, StateDocuments.Encode(next)), cancellation).ConfigureAwait(false);
            if (result.IsCommitted) return result.Revision;
        }
    }
}
