using Overlay.Rpc.Grpc;

namespace Overlay.Controller;

/// <summary>Bounds the streams that one client has open at a time.</summary>
internal sealed class StreamLimits(int most)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, int> _open = [];

    /// <summary>Streams of all clients.</summary>
    public int Open
    {
        get
        {
            lock (_lock) return _open.Values.Sum();
        }
    }

    /// <summary>Counts a stream until the result is disposed.</summary>
    /// <exception cref="GrpcException">RESOURCE_EXHAUSTED: the client has as many as it may.</exception>
    public IDisposable Begin(string client)
    {
        lock (_lock)
        {
            int open = _open.GetValueOrDefault(client);
            if (open >= most)
                throw new GrpcException(GrpcStatusCode.ResourceExhausted, $"{client} has {open} streams open, and no client may have more; close one, or raise 'limits: streamsPerClient'");
            _open[client] = open + 1;
        }
        return new Stream(this, client);
    }

    private void Close(string client)
    {
        lock (_lock)
        {
            int left = _open[client] - 1;
            if (left == 0) _open.Remove(client);
            else _open[client] = left;
        }
    }

    private sealed class Stream(StreamLimits limits, string client) : IDisposable
    {
        private bool _closed;

        public void Dispose()
        {
            if (_closed) return;
            _closed = true;
            limits.Close(client);
        }
    }
}
