using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Overlay.Control.Stores.Etcd;

/// <summary>Requests to the JSON gateway of whichever member answers.</summary>
internal sealed class EtcdClient : IDisposable
{
    /// <summary>Of every call that is repeated.</summary>
    public static readonly BackOff BackOff = new(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(500));

    private readonly EtcdOptions _options;
    private readonly HttpClient _http;
    private int _member;

    public EtcdClient(EtcdOptions options)
    {
        if (options.Endpoints.Count == 0) throw new ArgumentException("no endpoints", nameof(options));
        _options = options;
        _http = new HttpClient(Handler(options)) { Timeout = Timeout.InfiniteTimeSpan };
    }

    private Uri Member => _options.Endpoints[(int)((uint)Volatile.Read(ref _member) % (uint)_options.Endpoints.Count)];

    /// <summary>Asks members in turn until one answers, backing off between rounds.</summary>
    /// <exception cref="EtcdFailure">It was refused, or none answered in time.</exception>
    public async Task<TResponse> CallAsync<TRequest, TResponse>(
        string path, TRequest request, JsonTypeInfo<TRequest> requestType, JsonTypeInfo<TResponse> responseType, CancellationToken cancellation)
    {
        long start = Environment.TickCount64;
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                return await CallOnceAsync(path, request, requestType, responseType, cancellation).ConfigureAwait(false);
            }
            catch (EtcdFailure failure) when (failure.IsTransient && Environment.TickCount64 - start < _options.CallDeadline.TotalMilliseconds)
            {
                await BackOff.WaitAsync(attempt, cancellation).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Asks one member once; the next call asks another if this one does not answer.</summary>
    public async Task<TResponse> CallOnceAsync<TRequest, TResponse>(
        string path, TRequest request, JsonTypeInfo<TRequest> requestType, JsonTypeInfo<TResponse> responseType, CancellationToken cancellation)
    {
        int member = Volatile.Read(ref _member);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(_options.RequestDeadline);
        try
        {
            using HttpResponseMessage response = await SendAsync(path, JsonSerializer.SerializeToUtf8Bytes(request, requestType), deadline.Token)
                .ConfigureAwait(false);
            byte[] body = await response.Content.ReadAsByteArrayAsync(deadline.Token).ConfigureAwait(false);
            if (!response.IsSuccessStatusCode) throw Refusal(response.StatusCode, body);
            return JsonSerializer.Deserialize(body, responseType)!;
        }
        catch (EtcdFailure failure)
        {
            if (failure.IsTransient) Leave(member);
            throw;
        }
        catch (Exception error) when (IsNoAnswer(error, cancellation))
        {
            Leave(member);
            throw new EtcdFailure(NoAnswer(error), -1, error);
        }
    }

    /// <summary>Opens a stream of lines. The member ends it when it has lost its leader.</summary>
    public async Task<Stream> StreamAsync<TRequest>(
        string path, TRequest request, JsonTypeInfo<TRequest> requestType, CancellationToken cancellation)
    {
        int member = Volatile.Read(ref _member);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(_options.RequestDeadline);
        try
        {
            HttpResponseMessage response = await SendAsync(path, JsonSerializer.SerializeToUtf8Bytes(request, requestType), deadline.Token)
                .ConfigureAwait(false);
            if (response.IsSuccessStatusCode) return await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
            using (response) throw Refusal(response.StatusCode, await response.Content.ReadAsByteArrayAsync(deadline.Token).ConfigureAwait(false));
        }
        catch (Exception error) when (IsNoAnswer(error, cancellation))
        {
            Leave(member);
            throw new EtcdFailure(NoAnswer(error), -1, error);
        }
    }

    /// <summary>Has the next call ask another member.</summary>
    public void LeaveMember() => Leave(Volatile.Read(ref _member));

    public static bool IsNoAnswer(Exception error, CancellationToken cancellation) =>
        !cancellation.IsCancellationRequested && error is HttpRequestException or OperationCanceledException or IOException or JsonException;

    public void Dispose() => _http.Dispose();

    private async Task<HttpResponseMessage> SendAsync(string path, byte[] body, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(Member, path));
        request.Content = new ByteArrayContent(body);
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        // Metadata of gRPC: a member without a leader refuses, instead of serving what may be old.
        request.Headers.Add("Grpc-Metadata-hasleader", "true");
        return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation).ConfigureAwait(false);
    }

    private void Leave(int member) => Interlocked.CompareExchange(ref _member, member + 1, member);

    private string NoAnswer(Exception error) =>
        error is OperationCanceledException ? $"no answer within {_options.RequestDeadline.TotalSeconds:0.#} s" : error.Message;

    private static EtcdFailure Refusal(HttpStatusCode code, byte[] body)
    {
        try
        {
            if (JsonSerializer.Deserialize(body, EtcdJson.Default.EtcdError) is { } error)
                return new EtcdFailure(error.Message ?? error.Error ?? code.ToString(), error.Code);
        }
        catch (JsonException)
        {
            // A proxy's answer, or that of another server.
        }
        return new EtcdFailure($"HTTP status {(int)code} {code}", -1);
    }

    private static SocketsHttpHandler Handler(EtcdOptions options)
    {
        var handler = new SocketsHttpHandler
        {
            ConnectTimeout = options.RequestDeadline,
            PooledConnectionLifetime = TimeSpan.FromMinutes(10),
            UseProxy = false,
            ConnectCallback = ConnectAsync,
        };
        if (options.Certificate is { } certificate) handler.SslOptions.ClientCertificates = [certificate];
        if (options.Authorities is { } authorities)
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.AddRange(authorities);
            handler.SslOptions = new SslClientAuthenticationOptions
            {
                ClientCertificates = handler.SslOptions.ClientCertificates,
                CertificateChainPolicy = policy,
            };
        }
        return handler;
    }

    /// <summary>A watch may be silent for long; the kernel finds out within 10 s that the other end is gone.</summary>
    private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellation)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 4);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 2);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
            await socket.ConnectAsync(context.DnsEndPoint, cancellation).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
