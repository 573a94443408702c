using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Overlay.Rpc.Hosting;

namespace Overlay.Agent.Pods.Cni;

/// <summary>The Unix socket that the plugin calls on: a connection a call. Only its owner may use it.</summary>
internal sealed class CniServer : IAsyncDisposable
{
    private const int Backlog = 512;
    private static readonly TimeSpan MessageDeadline = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan StopDeadline = TimeSpan.FromSeconds(5);

    private readonly string _path;
    private readonly Socket _listener;
    private readonly Func<CniMessage, Task<CniAnswer?>> _answer;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly HashSet<Task> _calls = [];
    private readonly Lock _lock = new();
    private readonly Task _accepting;

    private CniServer(string path, Socket listener, Func<CniMessage, Task<CniAnswer?>> answer, ILogger log)
    {
        _path = path;
        _listener = listener;
        _answer = answer;
        _log = log;
        _accepting = AcceptAsync();
    }

    /// <summary>Opens the socket, replacing one that nobody listens on.</summary>
    /// <param name="path">Of the socket.</param>
    /// <param name="answer">Answers a call; null: it is broken off, which has the plugin leave a deletion on disk.</param>
    /// <param name="log">For calls that break off.</param>
    /// <exception cref="StartRefusedException">Another daemon listens there, or the path cannot be used.</exception>
    public static CniServer Start(string path, Func<CniMessage, Task<CniAnswer?>> answer, ILogger log)
    {
        try
        {
            if (Path.GetDirectoryName(path) is { } folder) Directory.CreateDirectory(folder);
            UnixSocketFile.RemoveStale(path);
            Socket listener = UnixSocketFile.Bind(new UnixDomainSocketEndPoint(path));
            listener.Listen(Backlog);
            return new CniServer(path, listener, answer, log);
        }
        catch (Exception exception) when (exception is SocketFileException or IOException or UnauthorizedAccessException or SocketException)
        {
            throw new StartRefusedException($"the CNI socket {path} cannot be opened: {exception.Message}", "choose another 'pods: socket:'", exception);
        }
    }

    /// <summary>Takes no more calls, and ends those that are still being read.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        Task[] calls;
        lock (_lock) calls = [.. _calls];
        await Task.WhenAll(calls).WaitAsync(StopDeadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        File.Delete(_path);
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket connection;
            try
            {
                connection = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException exception)
            {
                // Out of descriptors, which others give back: the callers wait in the backlog meanwhile.
                _log.LogError("a CNI call cannot be accepted: {Problem}", exception.Message);
                await Task.Delay(TimeSpan.FromMilliseconds(100), _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                continue;
            }
            var call = Task.Run(() => ServeAsync(connection));
            lock (_lock) _calls.Add(call);
            _ = call.ContinueWith(Forget, TaskScheduler.Default);
        }
    }

    private void Forget(Task call)
    {
        lock (_lock) _calls.Remove(call);
    }

    private async Task ServeAsync(Socket connection)
    {
        using Socket own = connection;
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        deadline.CancelAfter(MessageDeadline);
        try
        {
            if (await ReadAsync(connection, deadline.Token).ConfigureAwait(false) is not { } message) return;
            if (await _answer(message).ConfigureAwait(false) is not { } answer) return;
            // The plugin waits for as long as it likes; that it reads what it asked for does not take long.
            using var sending = new CancellationTokenSource(MessageDeadline);
            try
            {
                await SendAsync(connection, answer.Encode(), sending.Token).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is SocketException or OperationCanceledException)
            {
                answer.Undelivered?.Invoke();
                throw;
            }
        }
        catch (Exception exception) when (exception is SocketException or OperationCanceledException)
        {
            _log.LogWarning("a CNI call was broken off: {Problem}", exception.Message);
        }
    }

    private static async Task<CniMessage?> ReadAsync(Socket connection, CancellationToken cancellation)
    {
        byte[] header = new byte[CniMessage.HeaderLength];
        if (!await FillAsync(connection, header, cancellation).ConfigureAwait(false) || CniMessage.ReadHeader(header) is not var (environment, input)) return null;
        byte[] parts = new byte[environment + input];
        return await FillAsync(connection, parts, cancellation).ConfigureAwait(false) ? CniMessage.Read(parts.AsSpan(0, environment), parts.AsSpan(environment)) : null;
    }

    private static async Task<bool> FillAsync(Socket connection, Memory<byte> buffer, CancellationToken cancellation)
    {
        while (buffer.Length > 0)
        {
            int count = await connection.ReceiveAsync(buffer, cancellation).ConfigureAwait(false);
            if (count == 0) return false;
            buffer = buffer[count..];
        }
        return true;
    }

    private static async Task SendAsync(Socket connection, ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        while (bytes.Length > 0) bytes = bytes[await connection.SendAsync(bytes, cancellation).ConfigureAwait(false)..];
    }
}
