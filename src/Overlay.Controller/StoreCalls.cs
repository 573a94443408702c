using Overlay.Control.Stores;
using Overlay.Rpc.Grpc;

namespace Overlay.Controller;

/// <summary>What the services have in common in their use of the store.</summary>
internal static class StoreCalls
{
    /// <summary>Runs a handler; that the store cannot be used is told to the caller as UNAVAILABLE.</summary>
    public static async Task<T> RunAsync<T>(Func<Task<T>> handler)
    {
        try
        {
            return await handler().ConfigureAwait(false);
        }
        catch (StoreException exception)
        {
            throw new GrpcException(GrpcStatusCode.Unavailable, exception.Message, exception);
        }
    }

    public static async Task<StoreEntry?> FindAsync(this IControlStore store, string key, CancellationToken cancellation)
    {
        StoreRange range = (await store.ReadAsync(key, null, cancellation).ConfigureAwait(false))!;
        return range.Entries.FirstOrDefault(entry => entry.Key == key);
    }
}
