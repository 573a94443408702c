using System.Net.Sockets;
using System.Text.Json;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Routes;

/// <summary>Asks a daemon's socket where flows go, without a process for each question.</summary>
internal static class RouteQuery
{
    public static async Task<RouteLookupDocument> AskAsync(OverlayDaemon daemon, string address) => (await AskAsync(daemon.Socket, [$"address={address}"]))[0];

    public static async Task<IReadOnlyList<RouteLookupDocument>> AskAsync(string path, IEnumerable<string> queries)
    {
        using var handler = new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancellation) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellation);
                return new NetworkStream(socket, ownsSocket: true);
            },
        };
        using var http = new HttpClient(handler) { BaseAddress = new Uri("http://overlayd"), Timeout = TimeSpan.FromSeconds(20) };
        var answers = new List<RouteLookupDocument>();
        foreach (string query in queries)
        {
            string json = await http.GetStringAsync(new Uri($"{LocalApi.RouteLookupPath}?{query}", UriKind.Relative));
            answers.Add(JsonSerializer.Deserialize(json, StatusJson.Default.RouteLookupDocument)!);
        }
        return answers;
    }
}
