using Google.Protobuf;
using Overlay.Linux;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi;

/// <summary>
/// One call at a time on a volume. The same request again joins the call that runs; another one is ABORTED. What runs goes on when its
/// clients hang up, so that a retry finds it.
/// </summary>
internal sealed class VolumeGate
{
    private const int NoSpaceLeft = 28;

    private readonly Dictionary<string, (IMessage? Request, Task<IMessage> Work)> _running = new(StringComparer.Ordinal);

    private volatile bool _isOpen;

    /// <summary>Lets calls in: everything that an earlier process left is accounted for.</summary>
    public void Open() => _isOpen = true;

    /// <exception cref="GrpcException">UNAVAILABLE: what an earlier process left is being looked at.</exception>
    public void CheckOpen()
    {
        if (!_isOpen) throw new GrpcException(GrpcStatusCode.Unavailable, "the driver is starting; try again");
    }

    /// <exception cref="GrpcException">ABORTED: another call on the volume runs. RESOURCE_EXHAUSTED, INTERNAL: the kernel refused.</exception>
    public async Task<TResponse> RunAsync<TResponse>(
        string volume, IMessage request, Func<TResponse> work, CancellationToken cancellation)
        where TResponse : class, IMessage
    {
        CheckOpen();
        Task<IMessage> task;
        lock (_running)
        {
            if (_running.TryGetValue(volume, out (IMessage? Request, Task<IMessage> Work) running))
            {
                if (!request.Equals(running.Request)) throw Busy(volume);
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

    /// <summary>Keeps calls away from a second volume, for work on a first one that was let in.</summary>
    /// <exception cref="GrpcException">ABORTED: a call on that volume runs.</exception>
    public Hold HoldAlso(string volume)
    {
        lock (_running)
        {
            if (!_running.TryAdd(volume, default)) throw Busy(volume);
        }
        return new Hold(this, volume);
    }

    private static GrpcException Busy(string volume) => new(GrpcStatusCode.Aborted, $"another call on volume {volume} is under way; try again");

    private IMessage Run(string volume, Func<IMessage> work)
    {
        try
        {
            return work();
        }
        catch (LinuxException exception)
        {
            throw new GrpcException(exception.IsNoSpace ? GrpcStatusCode.ResourceExhausted : GrpcStatusCode.Internal, exception.Message, exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new GrpcException(
                exception.HResult == NoSpaceLeft ? GrpcStatusCode.ResourceExhausted : GrpcStatusCode.Internal, exception.Message, exception);
        }
        finally
        {
            Release(volume);
        }
    }

    private void Release(string volume)
    {
        lock (_running) _running.Remove(volume);
    }

    /// <summary>Lets calls on the volume in again when it is disposed.</summary>
    internal readonly struct Hold(VolumeGate gate, string volume) : IDisposable
    {
        public void Dispose() => gate.Release(volume);
    }
}
