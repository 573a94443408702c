using Google.Protobuf;

namespace Overlay.Rpc.Grpc;

/// <summary>The methods that a server offers. Filled before the server starts.</summary>
public sealed class GrpcRoutes(GrpcLimits? limits = null)
{
    private readonly Dictionary<string, Func<GrpcExchange, Task>> _handlers = new(StringComparer.Ordinal);

    internal GrpcLimits Limits { get; } = limits ?? new GrpcLimits();

    /// <summary>
    /// Offers a method with one response. The handler ends a call by returning, by <see cref="GrpcException"/>, or by
    /// <see cref="OperationCanceledException"/> once <see cref="GrpcCall.Cancellation"/> is cancelled; anything else is a bug: it is logged,
    /// and the client learns UNKNOWN.
    /// </summary>
    public GrpcRoutes Unary<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method, Func<TRequest, GrpcCall, Task<TResponse>> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        Check(method, streaming: false);
        _handlers.Add(method.Path, async exchange =>
        {
            TRequest request = await exchange.ReadOnlyAsync(method.Requests).ConfigureAwait(false);
            TResponse response = await handler(request, exchange.Call).ConfigureAwait(false);
            await exchange.WriteAsync(response).ConfigureAwait(false);
        });
        return this;
    }

    /// <summary>Offers a method with a stream of responses, each sent as soon as it is there. The client's reading paces the handler.</summary>
    public GrpcRoutes ServerStreaming<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method, Func<TRequest, GrpcCall, IAsyncEnumerable<TResponse>> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        Check(method, streaming: true);
        _handlers.Add(method.Path, async exchange =>
        {
            TRequest request = await exchange.ReadOnlyAsync(method.Requests).ConfigureAwait(false);
            await exchange.StartAsync().ConfigureAwait(false);
            await foreach (TResponse response in handler(request, exchange.Call)
                .WithCancellation(exchange.Call.Cancellation).ConfigureAwait(false))
            {
                await exchange.WriteAsync(response).ConfigureAwait(false);
            }
        });
        return this;
    }

    internal Func<GrpcExchange, Task>? Find(string path) => _handlers.GetValueOrDefault(path);

    private static void Check<TRequest, TResponse>(GrpcMethod<TRequest, TResponse> method, bool streaming)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        if (method.IsServerStreaming != streaming)
        {
            throw new ArgumentException($"{method.Path} {(streaming ? "returns one response" : "streams its responses")}", nameof(method));
        }
    }
}
