using System.Collections.Concurrent;
using System.Net;
using System.Runtime.CompilerServices;
using Google.Protobuf.Reflection;
using Microsoft.Extensions.Logging.Abstractions;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Security;

namespace Overlay.Agent.Tests.Control;

/// <summary>A controller that says what a test has it say, to one node, on a port that stays its own while it is away.</summary>
internal sealed class SpokenController(TlsFiles tls) : IAsyncDisposable
{
    private readonly ConcurrentQueue<TaskCompletionSource> _waiting = [];
    private volatile WatchResponse _state = new();
    private GrpcServer? _server;
    private int _registrations;

    public DnsEndPoint EndPoint { get; private set; } = new("127.0.0.1", 0);

    public int Registrations => Volatile.Read(ref _registrations);

    public int Renewals { get; private set; }

    /// <summary>What it answers; throws what it refuses with.</summary>
    public Func<RegisterRequest, RegisterResponse> Register { get; set; } = _ => new RegisterResponse { Generation = 1, Lease = 1, LeaseSeconds = 1, HoldSeconds = 2, Revision = 1 };

    public Func<AcquireBlockRequest, AcquireBlockResponse> Acquire { get; set; } = _ => throw new GrpcException(GrpcStatusCode.ResourceExhausted, "none is free");

    public Func<ReleaseBlockRequest, ReleaseBlockResponse>? Release { get; set; }

    /// <summary>Whether watchers are told first that a backup was restored.</summary>
    public bool IsRestored { get; set; }

    /// <summary>All there is; told to whoever watches, at once.</summary>
    public WatchResponse State
    {
        get => _state;
        set
        {
            _state = value;
            while (_waiting.TryDequeue(out TaskCompletionSource? waiting)) waiting.TrySetResult();
        }
    }

    public async Task StartAsync()
    {
        _server = await GrpcServer.ListenAsync(new IPEndPoint(IPAddress.Loopback, EndPoint.Port), tls.ForServer, Routes(), NullLoggerFactory.Instance);
        EndPoint = new DnsEndPoint("127.0.0.1", _server.EndPoint!.Port);
    }

    public async Task StopAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
        _server = null;
    }

    public async ValueTask DisposeAsync() => await StopAsync();

    private GrpcRoutes Routes()
    {
        var service = ControlReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Nodes");
        return new GrpcRoutes()
            .Unary(new GrpcMethod<RegisterRequest, RegisterResponse>(service, "Register"), (request, _) =>
            {
                Interlocked.Increment(ref _registrations);
                return Task.FromResult(Register(request));
            })
            .Unary(new GrpcMethod<RenewRequest, RenewResponse>(service, "Renew"), (_, _) =>
            {
                Renewals++;
                return Task.FromResult(new RenewResponse());
            })
            .ServerStreaming(new GrpcMethod<WatchRequest, WatchResponse>(service, "Watch"), (_, call) => WatchAsync(call.Cancellation))
            .Unary(new GrpcMethod<AcquireBlockRequest, AcquireBlockResponse>(service, "AcquireBlock"), (request, _) => Task.FromResult(Acquire(request)))
            .Unary(new GrpcMethod<ReleaseBlockRequest, ReleaseBlockResponse>(service, "ReleaseBlock"), (request, _) => Task.FromResult(Release?.Invoke(request) ?? new ReleaseBlockResponse { Revision = _state.Revision }));
    }

    private async IAsyncEnumerable<WatchResponse> WatchAsync([EnumeratorCancellation] CancellationToken end)
    {
        if (IsRestored) yield return new WatchResponse { Reset = true, More = true, Restored = true };
        while (true)
        {
            var next = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Enqueue(next);
            yield return _state;
            await next.Task.WaitAsync(end);
        }
    }
}
