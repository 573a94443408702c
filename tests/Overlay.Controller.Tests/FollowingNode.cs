using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;

namespace Overlay.Controller.Tests;

/// <summary>A node that watches, and comes back at the revision that it knows whenever the watch breaks.</summary>
internal sealed class FollowingNode(GrpcChannel channel, string node) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Change> _known = [];
    private long _revision;

    /// <summary>Messages of revisions that were known already.</summary>
    public int Repeated { get; private set; }

    public async Task RunAsync(CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            try
            {
                await foreach (WatchResponse response in ControllerLab.Watch(channel, node, _revision, end)) Take(response);
            }
            catch (GrpcException exception) when (exception.Status is GrpcStatusCode.Unavailable or GrpcStatusCode.Internal)
            {
                await Task.Delay(20, CancellationToken.None);
            }
            catch (OperationCanceledException) when (end.IsCancellationRequested)
            {
                return;
            }
        }
    }

    /// <summary>Waits until it knows certain blocks and holders, and no others.</summary>
    public async Task ReachAsync(string[] blocks, CancellationToken deadline)
    {
        while (!Blocks().SequenceEqual(blocks)) await Task.Delay(20, deadline);
    }

    public void Dispose() => channel.Dispose();

    private string[] Blocks()
    {
        lock (_lock) return [.. _known.Values.Where(change => change.Block is not null).Select(change => $"{change.Block.Prefix} {change.Block.Holder}").Order()];
    }

    private void Take(WatchResponse response)
    {
        lock (_lock)
        {
            if (response.Reset) _known.Clear();
            else if (response.Revision <= _revision) Repeated++;
            foreach (Change change in response.Changes)
            {
                if (change.ValueCase == Change.ValueOneofCase.None) _known.Remove(change.Key);
                else _known[change.Key] = change;
            }
            _revision = response.Revision;
        }
    }
}
