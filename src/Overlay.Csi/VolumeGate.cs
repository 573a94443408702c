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

    private readonly Dictionary<string, Running> _running = new(StringComparer.Ordinal);

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
            if (_running.TryGetValue(volume, out Running? running))
            {
                if (running.Work is not { } same || !request.Equals(running.Request)) throw Busy(volume);
                task = same;
            }
            else
            {
                task = StartAsync(() => Run(volume, work));
                _running.Add(volume, new Running(request, task));
            }
        }
        return (TResponse)await task.WaitAsync(cancellation).ConfigureAwait(false);
    }

    /// <summary>Keeps calls away from a second volume or snapshot, for work on a first one that was let in.</summary>
    /// <param name="isShared">Whether others that share it may hold it too.</param>
    /// <exception cref="GrpcException">ABORTED: a call on that volume runs.</exception>
    public Hold HoldAlso(string volume, bool isShared = false)
    {
        lock (_running)
        {
            if (!_running.TryGetValue(volume, out Running? running)) _running.Add(volume, new Running(null, null) { Sharers = isShared ? 1 : 0 });
            else if (isShared && running.Sharers > 0) running.Sharers++;
            else throw Busy(volume);
        }
        return new Hold(this, volume);
    }

    private static GrpcException Busy(string volume) => new(GrpcStatusCode.Aborted, $"another call on volume {volume} is under way; try again");

    /// <summary>
    /// Does work that waits for the kernel, disks and programs, on a thread of its own: many of them must not keep the pool's from answering.
    /// </summary>
    /// <exception cref="GrpcException">As the work tells. RESOURCE_EXHAUSTED, INTERNAL: the kernel refused.</exception>
    public static Task<T> StartAsync<T>(Func<T> work) =>
        Task.Factory.StartNew(() => Translate(work), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static T Translate<T>(Func<T> work)
    {
        try
        {
            return work();
        }
        catch (Exception exception) when (exception is LinuxException or IOException or UnauthorizedAccessException)
        {
            bool isNoSpace = exception is LinuxException { IsNoSpace: true } || exception.HResult == NoSpaceLeft;
            throw new GrpcException(isNoSpace ? GrpcStatusCode.ResourceExhausted : GrpcStatusCode.Internal, exception.Message, exception);
        }
    }

    private IMessage Run(string volume, Func<IMessage> work)
    {
        try
        {
            return work();
        }
        finally
        {
            Release(volume);
        }
    }

    private void Release(string volume)
    {
        lock (_running)
        {
            if (_running[volume] is { Sharers: > 1 } shared) shared.Sharers--;
            else _running.Remove(volume);
        }
    }

    /// <summary>What keeps others from a volume: a call with its request, or holds of other calls.</summary>
    private sealed class Running(IMessage? request, Task<IMessage>? work)
    {
        public IMessage? Request => request;

        public Task<IMessage>? Work => work;

        public int Sharers { get; set; }
    }

    /// <summary>Lets calls on the volume in again when it is disposed.</summary>
    internal readonly struct Hold(VolumeGate gate, string volume) : IDisposable
    {
        public void Dispose() => gate.Release(volume);
    }
}
