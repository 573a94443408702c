using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Observation;

/// <summary>Asks a daemon's monitoring address, as Prometheus does.</summary>
internal static class MonitoringClient
{
    /// <param name="host">Namespace to ask in.</param>
    /// <param name="listen">Address and port of the daemon's.</param>
    /// <param name="path">Such as /metrics.</param>
    public static async Task<(HttpStatusCode Status, string Type, string Text)> GetAsync(NetworkNamespace host, string listen, string path)
    {
        using var handler = new SocketsHttpHandler();
        handler.ConnectCallback = async (context, cancellation) =>
        {
            Socket socket = await host.OpenAsync(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
            await socket.ConnectAsync(IPEndPoint.Parse(listen), cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        };
        using var http = new HttpClient(handler) { Timeout = Command.ShortDeadline };
        using HttpResponseMessage response = await http.GetAsync(new Uri($"http://{listen}{path}"));
        return (response.StatusCode, response.Content.Headers.ContentType?.ToString() ?? "", await response.Content.ReadAsStringAsync());
    }
}
