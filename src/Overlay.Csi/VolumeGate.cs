using Google.Protobuf;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi;

/// <summary>
/// One call at a time on a volume. The same request again joins the call that runs; another one is ABORTED. What runs goes on when its
/// clients hang up, so that a retry finds it.
/// </summary>
internal sealed class VolumeGate
{
    private readonly Dictionary<string, (IMessage Request, Task<IMessage> Work)> _running = new(StringComparer.Ordinal);

    /// <exception cref="GrpcException">ABORTED: another call on the volume runs.</exception>
    public async Task<TResponse> RunAsync<TResponse>(
        string volume, IMessage request, Func<TResponse> work, CancellationToken cancellation)
        where TResponse : class, IMessage
    {
        Task<IMessage> task;
        lock (_running)
        {
            if (_running.TryGetValue(volume, out (IMessage Request, Task<IMessage> Work) running))
            {
                if (!running.Request.Equals(request))
                {
                    throw new GrpcException(GrpcStatusCode.Aborted, $"another call on volume {volume} is under way; try again");
                }
                task = running.Work;
            }
            else
            {
                task = Task.Run(() => Run(volume, work), CancellationToken.None);
                _running.Add(volume, (request, task));
            }
        }
        return (TResponse)await task.WaitAsync(cancellation).ConfigureAwait(false);
    }

    private IMessage Run(string volume, Func<IMessage> work)
    {
        try
        {
            return work();
        }
        finally
        {
            lock (_running) _running.Remove(volume);
        }
    }
}
