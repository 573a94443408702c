using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary>A capture that the daemon is sending.</summary>
/// <param name="http">Reaches the daemon.</param>
/// <param name="response">Its answer, whose body goes on.</param>
/// <param name="packets">The file, as it comes.</param>
internal sealed class RunningCapture(HttpClient http, HttpResponseMessage response, Stream packets) : IDisposable
{
    private readonly string? _id = response.Headers.TryGetValues(LocalApi.CaptureHeader, out IEnumerable<string>? values) ? values.First() : null;

    public Stream Packets { get; } = packets;

    /// <summary>Has the daemon complete the file; hangs up where it does not in time.</summary>
    public void End(TimeSpan deadline) => _ = EndAsync(deadline);

    public void Dispose() => response.Dispose();

    private async Task EndAsync(TimeSpan deadline)
    {
        if (_id is null) return;
        using var late = new CancellationTokenSource(deadline);
        try
        {
            using HttpResponseMessage ended = await http.DeleteAsync(new Uri($"{LocalApi.CapturePath}?{LocalApi.CaptureQuery}={_id}", UriKind.Relative), late.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is HttpRequestException or OperationCanceledException)
        {
            // Without the daemon's end the file lacks its statistics, and is whole otherwise.
            response.Dispose();
        }
    }
}
