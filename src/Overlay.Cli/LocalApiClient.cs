using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Overlay.Rpc;
using Overlay.Rpc.Hosting;

namespace Overlay.Cli;

/// <summary>The daemon could not be asked; the message says why and what to do.</summary>
internal sealed class LocalApiException(string message, Exception? cause = null) : Exception(message, cause);

/// <summary>Asks the daemon's local API.</summary>
internal sealed class LocalApiClient : IDisposable
{
    private readonly HttpClient _http;
    private readonly string _socket;
    private readonly string _daemon;

    /// <param name="socket">Path of the daemon's socket.</param>
    /// <param name="daemon">Name of the daemon, for messages.</param>
    /// <exception cref="LocalApiException">The path cannot be that of a socket.</exception>
    public LocalApiClient(string socket, string daemon = "overlayd")
    {
        if (Encoding.UTF8.GetByteCount(socket) is 0 or > LocalApi.MaxSocketPathBytes)
            throw new LocalApiException($"'{socket}' cannot be a Unix socket; use a path of 1 to {LocalApi.MaxSocketPathBytes} bytes");
        _socket = socket;
        _daemon = daemon;
        _http = new HttpClient(UnixSocketHttp.CreateHandler(socket))
        {
            BaseAddress = new Uri("http://localhost"),
        };
    }

    /// <exception cref="LocalApiException">The daemon is not there, or answered something else.</exception>
    public Task<StatusDocument> GetStatusAsync(CancellationToken cancellation) =>
        GetAsync(LocalApi.StatusPath, "status", StatusJson.Default.StatusDocument, cancellation);

    /// <exception cref="LocalApiException">The daemon is not there, or answered something else.</exception>
    public Task<FdbDocument> GetFdbAsync(CancellationToken cancellation) =>
        GetAsync(LocalApi.FdbPath, "list of MAC addresses", StatusJson.Default.FdbDocument, cancellation);

    /// <exception cref="LocalApiException">The daemon is not there, or answered something else.</exception>
    public Task<RouteListDocument> GetRoutesAsync(CancellationToken cancellation) =>
        GetAsync(LocalApi.RoutesPath, "list of routes", StatusJson.Default.RouteListDocument, cancellation);

    /// <exception cref="LocalApiException">The daemon is not there, or answered something else.</exception>
    public Task<HealthDocument> GetHealthAsync(CancellationToken cancellation) =>
        GetAsync(LocalApi.FindingsPath, "health", StatusJson.Default.HealthDocument, cancellation);

    /// <exception cref="LocalApiException">The daemon is not there, or answered something else.</exception>
    public Task<PodsDocument> GetPodsAsync(CancellationToken cancellation) =>
        GetAsync(LocalApi.PodsPath, "list of pods", StatusJson.Default.PodsDocument, cancellation);

    /// <exception cref="LocalApiException">The daemon is not there, wires no pods, or answered something else.</exception>
    public Task<AddressCheckDocument> CheckAddressesAsync(CancellationToken cancellation) =>
        GetAsync(LocalApi.AddressCheckPath, "check of addresses", StatusJson.Default.AddressCheckDocument, cancellation);

    /// <exception cref="LocalApiException">The daemon is not there, or answered something else.</exception>
    public Task<VolumesDocument> GetVolumesAsync(CancellationToken cancellation) =>
        GetAsync(LocalApi.VolumesPath, "list of volumes", StatusJson.Default.VolumesDocument, cancellation);

    /// <exception cref="LocalApiException">The daemon is not there, has no such segment, or answered something else.</exception>
    public Task<RouteLookupDocument> GetRouteAsync(RouteQuestion question, CancellationToken cancellation) =>
        GetAsync($"{LocalApi.RouteLookupPath}?{question.ToQuery()}", "route", StatusJson.Default.RouteLookupDocument, cancellation);

    /// <summary>Begins a capture, which goes on until the daemon or the caller ends it.</summary>
    /// <param name="path">With its query.</param>
    /// <exception cref="LocalApiException">The daemon is not there, or refuses.</exception>
    public async Task<RunningCapture> CaptureAsync(string path, CancellationToken cancellation)
    {
        try
        {
            HttpResponseMessage response = await _http.GetAsync(new Uri(path, UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, cancellation).ConfigureAwait(false);
            if (response.IsSuccessStatusCode) return new RunningCapture(_http, response, await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false));
            using (response)
            {
                string said = await response.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false);
                throw new LocalApiException(
                    response.StatusCode == HttpStatusCode.BadRequest ? said : $"{_daemon} at {_socket} answered {(int)response.StatusCode} {response.ReasonPhrase}; see its log");
            }
        }
        catch (HttpRequestException exception)
        {
            throw new LocalApiException(Explain(exception), exception);
        }
    }

    /// <exception cref="LocalApiException">The daemon is not there, the question makes no sense there, or it answered something else.</exception>
    public Task<ExplanationDocument> ExplainAsync(ExplainQuestion question, CancellationToken cancellation) => PostAsync(
        LocalApi.ExplainPath, question, StatusJson.Default.ExplainQuestion, "explanation", StatusJson.Default.ExplanationDocument, cancellation);

    /// <exception cref="LocalApiException">The daemon is not there, the question makes no sense there, or it answered something else.</exception>
    public Task<ArrivalDocument> ExplainArrivalAsync(ArrivalQuestion question, CancellationToken cancellation) => PostAsync(
        LocalApi.ExplainArrivalPath, question, StatusJson.Default.ArrivalQuestion, "explanation", StatusJson.Default.ArrivalDocument, cancellation);

    private async Task<TAnswer> PostAsync<TQuestion, TAnswer>(
        string path, TQuestion question, JsonTypeInfo<TQuestion> questionType, string what, JsonTypeInfo<TAnswer> type, CancellationToken cancellation)
    {
        using var content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(question, questionType));
        return await AskAsync(http => http.PostAsync(new Uri(path, UriKind.Relative), content, cancellation), what, type, cancellation).ConfigureAwait(false);
    }

    private Task<T> GetAsync<T>(string path, string what, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        AskAsync(http => http.GetAsync(new Uri(path, UriKind.Relative), cancellation), what, type, cancellation);

    private async Task<T> AskAsync<T>(Func<HttpClient, Task<HttpResponseMessage>> ask, string what, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        try
        {
            using HttpResponseMessage response = await ask(_http).ConfigureAwait(false);
            if (response.StatusCode == HttpStatusCode.BadRequest)
                throw new LocalApiException(await response.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false));
            if (!response.IsSuccessStatusCode)
                throw new LocalApiException($"{_daemon} at {_socket} answered {(int)response.StatusCode} {response.ReasonPhrase}; see its log");
            using Stream body = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
            return await JsonSerializer.DeserializeAsync(body, type, cancellation).ConfigureAwait(false)
                ?? throw new LocalApiException($"{_daemon} at {_socket} answered nothing; see its log");
        }
        catch (HttpRequestException exception)
        {
            throw new LocalApiException(Explain(exception), exception);
        }
        catch (JsonException exception)
        {
            throw new LocalApiException($"the answer at {_socket} is no {what} ({exception.Message}); is it {_daemon}'s socket, of this version?", exception);
        }
    }

    public void Dispose() => _http.Dispose();

    private string Explain(HttpRequestException exception) => (exception.InnerException as SocketException)?.SocketErrorCode switch
    {
        SocketError.AccessDenied => $"no permission for {_socket}; run overlay as root",
        SocketError.ConnectionRefused => $"nobody listens on {_socket}; start {_daemon}",
        SocketError.AddressNotAvailable or SocketError.NotSocket or SocketError.SocketError => NotThere(),
        _ when !File.Exists(_socket) => NotThere(),
        _ => $"{_daemon} at {_socket} cannot be asked: {exception.Message}; see its log",
    };

    private string NotThere() => $"there is no socket {_socket}; start {_daemon}, or name its {(_daemon == "overlayd" ? "'api: socket:'" : "--api")} with --socket";
}
