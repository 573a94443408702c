using Overlay.Csi.State;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Pools;

/// <summary>Promises the space of the pools: no two calls are promised the same.</summary>
internal sealed class SpaceLedger(VolumeStore store)
{
    private readonly Lock _space = new();

    /// <param name="bytes">That must be there.</param>
    /// <param name="commit">Makes the promise, so that the next call sees it.</param>
    /// <exception cref="GrpcException">RESOURCE_EXHAUSTED: there is less.</exception>
    public void Promise(DirectoryPool pool, long bytes, Action commit)
    {
        lock (_space)
        {
            long available = pool.Available(store.Images);
            if (bytes > available) throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"pool {pool.Name} has {available} bytes to give, not {bytes}");
            commit();
        }
    }
}
