using System.Net.Sockets;
using System.Text;

namespace Overlay.Cli.Tests;

/// <summary>A stand-in for the daemon that answers one request.</summary>
internal static class OneAnswer
{
    /// <summary>Listens before it returns; answers one request with the bytes given.</summary>
    /// <param name="path">Of the socket.</param>
    /// <param name="response">Status line, headers and body.</param>
    /// <param name="target">What is to be asked for.</param>
    public static Task ServeAsync(string path, string response, string target = "/v1/status")
    {
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        return AnswerAsync(listener, response, target);
    }

    /// <summary>Likewise, given the status and the body.</summary>
    public static Task ServeAsync(string path, string status, string body, string target) =>
        ServeAsync(path, $"HTTP/1.1 {status}\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}", target);

    private static async Task AnswerAsync(Socket listener, string response, string target)
    {
        using (listener)
        {
            using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(10));
            using Socket connection = await listener.AcceptAsync(deadline.Token);
            var request = new byte[4096];
            int length = await connection.ReceiveAsync(request, deadline.Token);
            Assert.StartsWith($"GET {target} HTTP/1.1\r\n", Encoding.ASCII.GetString(request, 0, length), StringComparison.Ordinal);
            await connection.SendAsync(Encoding.UTF8.GetBytes(response), deadline.Token);
        }
    }
}
