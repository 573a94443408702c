using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Runtime.CompilerServices;
using Google.Protobuf;
using Overlay.Rpc.Hosting;

namespace Overlay.Rpc.Grpc;

/// <summary>
/// Calls to one server, over as many connections as they need; connects anew when a connection is lost. Waits for no server to come up and
/// repeats nothing: that is the caller's decision.
/// </summary>
public sealed class GrpcChannel : IDisposable
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

    private readonly HttpMessageInvoker _http;
    private readonly Uri _address;
    private readonly GrpcLimits _limits;

    private GrpcChannel(SocketsHttpHandler handler, Uri address, GrpcLimits? limits)
    {
        handler.UseProxy = false;
        handler.AllowAutoRedirect = false;
        handler.AutomaticDecompression = DecompressionMethods.None;
        handler.ActivityHeadersPropagator = null;
        handler.ConnectTimeout = ConnectTimeout;
        handler.EnableMultipleHttp2Connections = true;
        handler.PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan;
        handler.KeepAlivePingDelay = TimeSpan.FromSeconds(20);
        handler.KeepAlivePingTimeout = TimeSpan.FromSeconds(10);
        handler.KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests;
        _http = new HttpMessageInvoker(handler);
        _address = address;
        _limits = limits ?? new GrpcLimits(MaxReceiveBytes: 64 << 20);
    }

    /// <summary>To a Unix socket, in clear text.</summary>
    public static GrpcChannel ToSocket(string path, GrpcLimits? limits = null) => new(
        UnixSocketHttp.CreateHandler(path),
        new Uri("http://localhost"),
        limits);

    /// <summary>Over TCP with TLS.</summary>
    /// <param name="host">Name or address; it is what the server's certificate is held against unless <paramref name="tls"/> names another.</param>
    public static GrpcChannel ToHost(string host, int port, SslClientAuthenticationOptions tls, GrpcLimits? limits = null) => new(
        new SocketsHttpHandler { SslOptions = tls }, new UriBuilder(Uri.UriSchemeHttps, host, port).Uri, limits);

    /// <summary>Calls a method with one response.</summary>
    /// <param name="timeout">Told to the server, and kept here too.</param>
    /// <exception cref="GrpcException">The call ended with another status than OK; UNAVAILABLE where the server was not reached.</exception>
    /// <exception cref="OperationCanceledException">By <paramref name="cancellation"/>; the server is told.</exception>
    public async Task<TResponse> CallAsync<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method, TRequest request, TimeSpan timeout, CancellationToken cancellation = default)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        if (method.IsServerStreaming) throw new ArgumentException($"{method.Path} streams its responses", nameof(method));
        TResponse? only = null;
        await foreach (TResponse response in ReadAllAsync(method, request, timeout, cancellation).ConfigureAwait(false))
        {
            if (only is not null) throw new GrpcException(GrpcStatusCode.Unimplemented, $"{method.Path} returned more than one response");
            only = response;
        }
        return only ?? throw new GrpcException(GrpcStatusCode.Unimplemented, $"{method.Path} returned no response");
    }

    /// <summary>Calls a method with a stream of responses. It ends normally with status OK, and throws as a call with one response does.</summary>
    /// <param name="timeout">Of the whole stream; null: as long as it goes.</param>
    public IAsyncEnumerable<TResponse> StreamAsync<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method, TRequest request, TimeSpan? timeout = null, CancellationToken cancellation = default)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        if (!method.IsServerStreaming) throw new ArgumentException($"{method.Path} returns one response", nameof(method));
        return ReadAllAsync(method, request, timeout, cancellation);
    }

    public void Dispose() => _http.Dispose();

    private async IAsyncEnumerable<TResponse> ReadAllAsync<TRequest, TResponse>(
        GrpcMethod<TRequest, TResponse> method,
        TRequest request,
        TimeSpan? timeout,
        [EnumeratorCancellation] CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (timeout is { } time) deadline.CancelAfter(time < GrpcHeaders.LongestTimeout ? time : GrpcHeaders.LongestTimeout);
        using HttpRequestMessage message = Request(method, request, timeout);
        using HttpResponseMessage response = await Translated(
            new ValueTask<HttpResponseMessage>(_http.SendAsync(message, deadline.Token)), method.Path, cancellation, deadline.Token).ConfigureAwait(false);
        ThrowIfRefused(response, method.Path);
        string? encoding = response.Headers.TryGetValues(GrpcHeaders.Encoding, out IEnumerable<string>? values) ? values.First() : null;
        using Stream body = await response.Content.ReadAsStreamAsync(CancellationToken.None).ConfigureAwait(false);
        PipeReader reader = PipeReader.Create(body);
        while (true)
        {
            TResponse? next = await Translated(
                GrpcFrames.ReadAsync(reader, method.Responses, encoding, _limits.MaxReceiveBytes, deadline.Token),
                method.Path, cancellation, deadline.Token).ConfigureAwait(false);
            if (next is null) break;
            yield return next;
        }
        ThrowIfNotOk(response.TrailingHeaders, method.Path);
    }

    private HttpRequestMessage Request<TRequest, TResponse>(GrpcMethod<TRequest, TResponse> method, TRequest request, TimeSpan? timeout)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var body = new System.Buffers.ArrayBufferWriter<byte>();
        GrpcFrames.Write(body, request, _limits.MaxSendBytes);
        var message = new HttpRequestMessage(HttpMethod.Post, new Uri(_address, method.Path))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ReadOnlyMemoryContent(body.WrittenMemory),
        };
        message.Content.Headers.ContentType = new MediaTypeHeaderValue(GrpcHeaders.ContentType);
        message.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        if (timeout is { } time) message.Headers.Add(GrpcHeaders.Timeout, GrpcHeaders.FormatTimeout(time));
        return message;
    }

    private static async ValueTask<T> Translated<T>(ValueTask<T> step, string path, CancellationToken caller, CancellationToken deadline)
    {
        try
        {
            return await step.ConfigureAwait(false);
        }
        catch (OperationCanceledException exception) when (deadline.IsCancellationRequested && !caller.IsCancellationRequested)
        {
            throw new GrpcException(GrpcStatusCode.DeadlineExceeded, $"{path}: no answer within the time given", exception);
        }
        catch (Exception exception) when (exception is IOException or HttpRequestException)
        {
            throw new GrpcException(StatusOf(exception), $"{path}: {(exception.InnerException ?? exception).Message}", exception);
        }
    }

    /// <summary>What became of a call whose stream broke, by the code that the server reset it with.</summary>
    private static GrpcStatusCode StatusOf(Exception exception)
    {
        for (Exception? cause = exception; cause is not null; cause = cause.InnerException)
        {
            if (cause is not HttpProtocolException reset) continue;
            return reset.ErrorCode switch
            {
                0x7 => GrpcStatusCode.Unavailable,
                0x8 => GrpcStatusCode.Cancelled,
                0xb => GrpcStatusCode.ResourceExhausted,
                0xc => GrpcStatusCode.PermissionDenied,
                _ => GrpcStatusCode.Internal,
            };
        }
        return GrpcStatusCode.Unavailable;
    }

    private static void ThrowIfRefused(HttpResponseMessage response, string path)
    {
        if (response.StatusCode == HttpStatusCode.OK && GrpcHeaders.IsGrpc(response.Content.Headers.ContentType?.ToString()))
        {
            if (response.Headers.Contains(GrpcHeaders.Status)) ThrowIfNotOk(response.Headers, path);
            return;
        }
        if (response.Headers.Contains(GrpcHeaders.Status)) ThrowIfNotOk(response.Headers, path);
        GrpcStatusCode status = response.StatusCode switch
        {
            HttpStatusCode.BadRequest => GrpcStatusCode.Internal,
            HttpStatusCode.Unauthorized => GrpcStatusCode.Unauthenticated,
            HttpStatusCode.Forbidden => GrpcStatusCode.PermissionDenied,
            HttpStatusCode.NotFound => GrpcStatusCode.Unimplemented,
            HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout
                => GrpcStatusCode.Unavailable,
            _ => GrpcStatusCode.Unknown,
        };
        throw new GrpcException(
            status, $"{path}: HTTP {(int)response.StatusCode}, content-type '{response.Content.Headers.ContentType}' instead of gRPC");
    }

    private static void ThrowIfNotOk(HttpHeaders headers, string path)
    {
        if (!headers.TryGetValues(GrpcHeaders.Status, out IEnumerable<string>? values))
        {
            throw new GrpcException(GrpcStatusCode.Unknown, $"{path}: the answer ended without {GrpcHeaders.Status}");
        }
        string text = values.First();
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            || !Enum.IsDefined((GrpcStatusCode)number))
        {
            throw new GrpcException(GrpcStatusCode.Unknown, $"{path}: {GrpcHeaders.Status} '{text}' is unknown");
        }
        if (number == (int)GrpcStatusCode.Ok) return;
        string message = headers.TryGetValues(GrpcHeaders.Message, out IEnumerable<string>? texts) ? texts.First() : "";
        throw new GrpcException((GrpcStatusCode)number, GrpcHeaders.DecodeMessage(message));
    }
}
