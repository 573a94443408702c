using System.Globalization;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.SystemTests.Lab;

/// <summary>A running overlayd, with the files and sockets that belong to it.</summary>
internal sealed class OverlayDaemon : IAsyncDisposable
{
    private static readonly TimeSpan StartDeadline = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan StopDeadline = TimeSpan.FromSeconds(10);

    private readonly DirectoryInfo _directory;
    private readonly NotifySocket _notify;
    private readonly RunningProcess _process;

    private OverlayDaemon(NetworkNamespace host, DirectoryInfo directory, NotifySocket notify, RunningProcess process)
    {
        Host = host;
        _directory = directory;
        _notify = notify;
        _process = process;
    }

    public NetworkNamespace Host { get; }

    /// <summary>What the daemon has logged so far.</summary>
    public string Log => _process.Errors;

    public int ProcessId => _process.Id;

    /// <summary>Memory that the daemon has in use.</summary>
    public long ResidentBytes
    {
        get
        {
            string line = File.ReadLines($"/proc/{ProcessId}/status").Single(text => text.StartsWith("VmRSS:", StringComparison.Ordinal));
            return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
        }
    }

    /// <summary>Path of the daemon's own socket.</summary>
    public string Socket => SocketIn(_directory);

    private string ConfigurationFile => ConfigurationIn(_directory);

    /// <summary>Starts the daemon and waits until it says that it is ready.</summary>
    /// <param name="host">Namespace to run in.</param>
    /// <param name="configuration">What to run with.</param>
    /// <param name="launcher">A program with arguments that starts the daemon in turn, such as setpriv.</param>
    public static async Task<OverlayDaemon> StartAsync(
        NetworkNamespace host, DaemonConfiguration configuration, params string[] launcher)
    {
        DirectoryInfo directory = NetworkNamespace.CreateDirectory();
        await File.WriteAllTextAsync(ConfigurationIn(directory), configuration.ToYaml(SocketIn(directory)));
        var notify = new NotifySocket(Path.Combine(directory.FullName, "notify.sock"));
        RunningProcess process = host.Start(
            [.. launcher, Repository.Daemon, "--config", ConfigurationIn(directory)],
            new Dictionary<string, string> { ["NOTIFY_SOCKET"] = notify.Path });
        var daemon = new OverlayDaemon(host, directory, notify, process);
        try
        {
            await daemon.WaitForAsync("READY=1");
            return daemon;
        }
        catch
        {
            await daemon.DisposeAsync();
            throw;
        }
    }

    /// <summary>Replaces the configuration and waits until the daemon has dealt with it, in force or refused.</summary>
    public async Task ReloadAsync(DaemonConfiguration configuration)
    {
        await File.WriteAllTextAsync(ConfigurationFile, configuration.ToYaml(Socket));
        _process.Signal(Libc.SignalHangUp);
        await WaitForAsync("RELOADING=1");
        await WaitForAsync("READY=1");
    }

    /// <summary>Kills the daemon, which gets no chance to clear up.</summary>
    public async Task KillAsync()
    {
        _process.Signal(Libc.SignalKill);
        await WaitForEndAsync();
    }

    /// <summary>Waits for the daemon to end by what was done to it.</summary>
    public Task WaitForEndAsync() => _process.WaitForExitAsync(StopDeadline);

    /// <summary>Waits until the daemon has logged a text: what it says of its state comes another way, and may be ahead of the log.</summary>
    public Task WaitForLogAsync(string text) => _process.WaitForTextAsync(text, StartDeadline);

    /// <summary>Asks the daemon to end, and waits.</summary>
    /// <returns>Its exit code.</returns>
    public async Task<int> StopAsync()
    {
        _process.Signal(Libc.SignalTerminate);
        return await _process.WaitForExitAsync(StopDeadline);
    }

    /// <summary>What `overlay status --json` prints.</summary>
    public async Task<StatusDocument> StatusAsync()
    {
        string json = await Command.CheckAsync(
            Command.ShortDeadline, null, Repository.Client, "status", "--json", "--socket", Socket);
        return JsonSerializer.Deserialize(json, StatusJson.Default.StatusDocument)!;
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            if (!_process.HasExited) await StopAsync();
        }
        finally
        {
            _process.Dispose();
            _notify.Dispose();
            _directory.Delete(recursive: true);
        }
    }

    private async Task WaitForAsync(string line)
    {
        using var expired = new CancellationTokenSource(StartDeadline);
        Task<int> ended = _process.WaitForExitAsync(Timeout.InfiniteTimeSpan);
        Task said = _notify.WaitForAsync(line, expired.Token);
        if (await Task.WhenAny(ended, said) == ended) throw new InvalidOperationException($"ended before {line}: {_process.Transcript}");
        if (said.IsCanceled) throw new TimeoutException($"no {line} within {StartDeadline}: {_process.Transcript}");
        await said;
    }

    private static string SocketIn(DirectoryInfo directory) => Path.Combine(directory.FullName, "overlayd.sock");

    private static string ConfigurationIn(DirectoryInfo directory) => Path.Combine(directory.FullName, "overlayd.yaml");
}
