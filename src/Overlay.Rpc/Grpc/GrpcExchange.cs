using System.Diagnostics;
using System.Globalization;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;

namespace Overlay.Rpc.Grpc;

/// <summary>One call on the server's side: request in, responses and status out.</summary>
internal sealed class GrpcExchange : IDisposable
{
    private readonly HttpContext _context;
    private readonly GrpcLimits _limits;
    private readonly string? _encoding;
    private readonly CancellationTokenSource _cancellation;
    private volatile GrpcException? _ended;

    private GrpcExchange(HttpContext context, GrpcLimits limits, TimeSpan? timeout)
    {
        _context = context;
        _limits = limits;
        _encoding = context.Request.Headers[GrpcHeaders.Encoding];
        _cancellation = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        if (timeout is { } time) _cancellation.CancelAfter(time);
        Call = new GrpcCall(
            context.Request.Path.Value ?? "",
            context.Features.Get<ClientCertificateFeature>()?.Certificate,
            timeout is null ? null : DateTimeOffset.UtcNow + timeout,
            _cancellation.Token)
        {
            Ending = End,
        };
    }

    public GrpcCall Call { get; }

    /// <summary>Answers one HTTP request, whatever it is.</summary>
    public static async Task ServeAsync(HttpContext context, GrpcRoutes routes)
    {
        HttpResponse response = context.Response;
        if (!HttpMethods.IsPost(context.Request.Method))
        {
            response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            response.Headers.Allow = HttpMethods.Post;
            return;
        }
        if (!GrpcHeaders.IsGrpc(context.Request.ContentType))
        {
            response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
            return;
        }
        response.ContentType = GrpcHeaders.ContentType;
        TimeSpan? timeout = null;
        if (context.Request.Headers[GrpcHeaders.Timeout] is [{ } text])
        {
            if (!GrpcHeaders.TryParseTimeout(text, out TimeSpan parsed))
            {
                Finish(response, GrpcStatusCode.Internal, $"{GrpcHeaders.Timeout} '{text}' is no time: up to 8 digits and one of H M S m u n");
                return;
            }
            timeout = parsed;
        }
        using var exchange = new GrpcExchange(context, routes.Limits, timeout);
        long start = Stopwatch.GetTimestamp();
        (GrpcStatusCode status, string message) = await exchange.RunAsync(routes).ConfigureAwait(false);
        if (routes.Find(exchange.Call.Method) is not null) routes.Completed?.Invoke(exchange.Call.Method, status, Stopwatch.GetElapsedTime(start));
        Finish(response, status, message);
    }

    /// <summary>Reads the one request of the call.</summary>
    /// <exception cref="GrpcException">UNIMPLEMENTED: there is none, or a second one.</exception>
    public async Task<T> ReadOnlyAsync<T>(MessageParser<T> parser)
        where T : class, IMessage<T>
    {
        T request = await ReadAsync(parser).ConfigureAwait(false)
            ?? throw new GrpcException(GrpcStatusCode.Unimplemented, "the call has no request message");
        if (await ReadAsync(parser).ConfigureAwait(false) is not null)
        {
            throw new GrpcException(GrpcStatusCode.Unimplemented, "the call has more than one request message");
        }
        return request;
    }

    /// <summary>Sends the headers, so that the client knows its stream to be open before there is a message.</summary>
    public Task StartAsync() => _context.Response.StartAsync(Call.Cancellation);

    /// <summary>Writes a response and waits while the client's window is full.</summary>
    public async Task WriteAsync(IMessage message)
    {
        GrpcFrames.Write(_context.Response.BodyWriter, message, _limits.MaxSendBytes);
        await _context.Response.BodyWriter.FlushAsync(Call.Cancellation).ConfigureAwait(false);
    }

    /// <inheritdoc cref="WriteAsync(IMessage)"/>
    public async Task WriteAsync<T>(GrpcFrame<T> frame)
        where T : class, IMessage<T>
    {
        GrpcFrames.CheckLength(frame.Length, _limits.MaxSendBytes);
        await _context.Response.BodyWriter.WriteAsync(frame.Bytes, Call.Cancellation).ConfigureAwait(false);
    }

    public void Dispose() => _cancellation.Dispose();

    private void End(GrpcException reason)
    {
        _ended = reason;
        _cancellation.Cancel();
    }

    private ValueTask<T?> ReadAsync<T>(MessageParser<T> parser)
        where T : class, IMessage<T> =>
        GrpcFrames.ReadAsync(_context.Request.BodyReader, parser, _encoding, _limits.MaxReceiveBytes, Call.Cancellation);

    private async Task<(GrpcStatusCode Status, string Message)> RunAsync(GrpcRoutes routes)
    {
        try
        {
            if (routes.Find(Call.Method) is not { } handler) return (GrpcStatusCode.Unimplemented, $"no method {Call.Method}");
            if (_encoding is not (null or GrpcHeaders.Identity))
            {
                _context.Response.Headers[GrpcHeaders.AcceptEncoding] = GrpcHeaders.Identity;
                return (GrpcStatusCode.Unimplemented, $"compression '{_encoding}' is not offered");
            }
            await handler(this).ConfigureAwait(false);
            return (GrpcStatusCode.Ok, "");
        }
        catch (GrpcException exception)
        {
            return (exception.Status, exception.Message);
        }
        catch (OperationCanceledException) when (Call.Cancellation.IsCancellationRequested)
        {
            if (_ended is { } reason) return (reason.Status, reason.Message);
            return _context.RequestAborted.IsCancellationRequested
                ? (GrpcStatusCode.Cancelled, "the client hung up")
                : (GrpcStatusCode.DeadlineExceeded, "the call's deadline has passed");
        }
    }

    /// <summary>The status goes into the headers as long as none were sent ("trailers only"), else into the trailers.</summary>
    private static void Finish(HttpResponse response, GrpcStatusCode status, string message)
    {
        string number = ((int)status).ToString(CultureInfo.InvariantCulture);
        string encoded = GrpcHeaders.EncodeMessage(message);
        if (response.HasStarted)
        {
            response.AppendTrailer(GrpcHeaders.Status, number);
            if (encoded.Length > 0) response.AppendTrailer(GrpcHeaders.Message, encoded);
            return;
        }
        response.Headers[GrpcHeaders.Status] = number;
        if (encoded.Length > 0) response.Headers[GrpcHeaders.Message] = encoded;
    }
}
