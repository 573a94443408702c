using Google.Protobuf;

namespace Overlay.Rpc.Grpc;

/// <summary>The methods that a server offers. Filled before the server starts.</summary>
public sealed class GrpcRoutes(GrpcLimits? limits = null)
{
    private readonly Dictionary<string, Func<GrpcExchange, Task>> _handlers = new(StringComparer.Ordinal);

    /// <summary>Is told of each call of a method that is offered: its path, its status, and how long it took.</summary>
    public Action<string, GrpcStatusCode, TimeSpan>? Completed { get; init; }

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
        where TResponse : class, IMessage<TResponse>, new() =>
        AddStreaming(method, handler, (exchange, response) => exchange.WriteAsync(response));

    /// <summary>As <see cref="ServerStreaming"/>, with responses that are encoded already, as many streams have the same.</summary>
    public GrpcRoutes ServerStreamingFrames<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method, Func<TRequest, GrpcCall, IAsyncEnumerable<GrpcFrame<TResponse>>> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        AddStreaming(method, handler, (exchange, frame) => exchange.WriteAsync(frame));

    internal Func<GrpcExchange, Task>? Find(string path) => _handlers.GetValueOrDefault(path);

    private GrpcRoutes AddStreaming<TRequest, TResponse, TItem>(
        GrpcMethod<TRequest, TResponse> method, Func<TRequest, GrpcCall, IAsyncEnumerable<TItem>> handler, Func<GrpcExchange, TItem, Task> write)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        Check(method, streaming: true);
        _handlers.Add(method.Path, async exchange =>
        {
            TRequest request = await exchange.ReadOnlyAsync(method.Requests).ConfigureAwait(false);
            await exchange.StartAsync().ConfigureAwait(false);
            await foreach (TItem item in handler(request, exchange.Call).WithCancellation(exchange.Call.Cancellation).ConfigureAwait(false))
                await write(exchange, item).ConfigureAwait(false);
        });
        return this;
    }

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
