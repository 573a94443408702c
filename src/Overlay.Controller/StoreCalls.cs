using Overlay.Control.Stores;
using Overlay.Rpc.Grpc;

namespace Overlay.Controller;

/// <summary>What the services have in common in their use of the store.</summary>
internal sealed class StoreCalls(StoreTroubles troubles)
{
    /// <summary>Runs a handler; that the store cannot be used is told to the caller as UNAVAILABLE, and noted until the store is found to work again.</summary>
    public async Task<T> RunAsync<T>(Func<Task<T>> handler)
    {
        try
        {
            return await handler().ConfigureAwait(false);
        }
        catch (StoreException exception)
        {
            troubles.Add(StoreTroubles.Change, exception.Message);
            throw new GrpcException(GrpcStatusCode.Unavailable, exception.Message, exception);
        }
    }
}
