using System.Text.Json;
using Overlay.Rpc;
using Overlay.Rpc.Hosting;

namespace Overlay.Csi;

/// <summary>The node's name, as overlayd has it: the network and the volumes of a node then agree on who it is.</summary>
internal static class AgentNode
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    /// <summary>Asks until it answers, for half a minute: both daemons may start at the same time.</summary>
    public static async Task<string?> AskAsync(string socket, List<string> problems, CancellationToken cancellation)
    {
        using var http = new HttpClient(UnixSocketHttp.CreateHandler(socket)) { BaseAddress = new Uri("http://overlayd"), Timeout = Patience };
        long start = Environment.TickCount64;
        while (true)
        {
            try
            {
                using JsonDocument status = JsonDocument.Parse(
                    await http.GetByteArrayAsync(new Uri(LocalApi.StatusPath, UriKind.Relative), cancellation).ConfigureAwait(false));
                return status.RootElement.GetProperty("node").GetString();
            }
            catch (Exception exception) when (exception is HttpRequestException or JsonException or KeyNotFoundException or InvalidOperationException
                || (exception is OperationCanceledException && !cancellation.IsCancellationRequested))
            {
                if (Environment.TickCount64 - start > Patience.TotalMilliseconds)
                {
                    problems.Add($"--node-id is missing, and overlayd at {socket} does not tell it ({exception.Message}): give it, or start overlayd");
                    return null;
                }
            }
            await Task.Delay(Interval, cancellation).ConfigureAwait(false);
        }
    }
}
