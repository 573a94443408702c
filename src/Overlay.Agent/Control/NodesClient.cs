using Google.Protobuf.Reflection;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;

namespace Overlay.Agent.Control;

/// <summary>One controller, as nodes call it. Every call has a deadline but the watch, which the connection's pings keep honest.</summary>
internal sealed class NodesClient(GrpcChannel channel)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);

    private static readonly ServiceDescriptor Service = ControlReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Nodes");

    private static readonly GrpcMethod<RegisterRequest, RegisterResponse> Registering = new(Service, "Register");

    private static readonly GrpcMethod<RenewRequest, RenewResponse> Renewing = new(Service, "Renew");

    private static readonly GrpcMethod<WatchRequest, WatchResponse> Watching = new(Service, "Watch");

    private static readonly GrpcMethod<AcquireBlockRequest, AcquireBlockResponse> Acquiring = new(Service, "AcquireBlock");

    private static readonly GrpcMethod<ReleaseBlockRequest, ReleaseBlockResponse> Releasing = new(Service, "ReleaseBlock");

    private static readonly GrpcMethod<LendBlockRequest, LendBlockResponse> Lending = new(Service, "LendBlock");

    public Task<RegisterResponse> RegisterAsync(RegisterRequest request, CancellationToken cancellation) => channel.CallAsync(Registering, request, Deadline, cancellation);

    public Task RenewAsync(RenewRequest request, CancellationToken cancellation) => channel.CallAsync(Renewing, request, Deadline, cancellation);

    public IAsyncEnumerable<WatchResponse> WatchAsync(WatchRequest request, CancellationToken cancellation) => channel.StreamAsync(Watching, request, null, cancellation);

    public Task<AcquireBlockResponse> AcquireAsync(AcquireBlockRequest request, CancellationToken cancellation) => channel.CallAsync(Acquiring, request, Deadline, cancellation);

    public Task<ReleaseBlockResponse> ReleaseAsync(ReleaseBlockRequest request, CancellationToken cancellation) => channel.CallAsync(Releasing, request, Deadline, cancellation);

    public Task<LendBlockResponse> LendAsync(LendBlockRequest request, CancellationToken cancellation) => channel.CallAsync(Lending, request, Deadline, cancellation);
}
