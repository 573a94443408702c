using System.Globalization;

namespace Overlay.SystemTests.Lab;

/// <summary>
/// A network namespace of this process. The name carries the process id and start time, so that a later run removes it should this one
/// be killed.
/// </summary>
internal sealed class NetworkNamespace : IAsyncDisposable
{
    private static readonly string Prefix = $"ovt-{Environment.ProcessId}-{StartTime()}";
    private static readonly Lazy<Task<string>> Sweep = new(SweepAsync);
    private static int s_created;

    private NetworkNamespace(string name) => Name = name;

    public string Name { get; }

    /// <param name="label">Ends the name, for those who look at `ip netns`.</param>
    public static async Task<NetworkNamespace> CreateAsync(string label)
    {
        await Sweep.Value;
        var created = new NetworkNamespace($"{Prefix}-{Interlocked.Increment(ref s_created)}-{label}");
        await Command.CheckAsync(Command.ShortDeadline, null, "ip", "netns", "add", created.Name);
        return created;
    }

    /// <summary>The namespace that a process is in, under a name of ours; what runs in it ends with this.</summary>
    public static async Task<NetworkNamespace> AttachAsync(string processId, string label)
    {
        var attached = new NetworkNamespace($"{Prefix}-{Interlocked.Increment(ref s_created)}-{label}");
        await Command.CheckAsync(Command.ShortDeadline, null, "ip", "netns", "attach", attached.Name, processId);
        return attached;
    }

    /// <summary>Addresses are usable at once, and come from nowhere but the test.</summary>
    public async Task ConfigureAsync()
    {
        await SysctlAsync("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
            "net.ipv6.conf.all.accept_ra=0", "net.ipv6.conf.default.accept_ra=0");
        await IpAsync("link set lo up");
    }

    /// <summary>A directory for files of this process, which a later run removes should this one be killed.</summary>
    public static DirectoryInfo CreateDirectory() => Directory.CreateTempSubdirectory(Prefix + "-");

    /// <summary>Runs lines of `ip` commands, without the word `ip`.</summary>
    public Task IpAsync(params string[] lines) =>
        Command.CheckAsync(Command.ShortDeadline, string.Join('\n', lines), "ip", "-n", Name, "-batch", "-");

    public Task SysctlAsync(params string[] settings) => CheckAsync(["sysctl", "-qw", .. settings]);

    /// <summary>Runs a command inside, which must succeed.</summary>
    /// <returns>Its standard output.</returns>
    public Task<string> CheckAsync(params string[] command) =>
        Command.CheckAsync(Command.ShortDeadline, null, "ip", ["netns", "exec", Name, .. command]);

    public Task<CommandResult> RunAsync(TimeSpan deadline, params string[] command) =>
        Command.RunAsync(deadline, null, "ip", ["netns", "exec", Name, .. command]);

    /// <summary>Links, addresses, routes, rules, fixed neighbours, sockets and sysctls, for comparison.</summary>
    public Task<string> StateAsync() => CheckAsync(
        "sh", "-c",
        "ip -o link | sed 's/ state [A-Z]*//'; ip -o address; ip route show table all; ip -6 route show table all | sed 's/ expires.*//'; "
        + "ip neighbour show nud permanent; ip rule; ip -6 rule; ss -Hlnu | awk '{ print $1, $4, $5 }'; "
        + "sysctl -a 2>/dev/null | grep -E '^net.ipv[46].(conf|ip_forward)' | grep -v stable_secret");

    /// <summary>Starts a command inside; the caller ends it.</summary>
    public RunningProcess Start(IEnumerable<string> command, IReadOnlyDictionary<string, string>? environment = null) =>
        RunningProcess.Start("ip", ["netns", "exec", Name, .. command], environment: environment);

    /// <summary>Opens a socket that belongs to this namespace, whoever uses it afterwards.</summary>
    public Task<T> OpenAsync<T>(Func<T> open) => Task.Factory.StartNew(
        () =>
        {
            // A thread of its own, which ends with the task: it never serves another one.
            Libc.EnterNetworkNamespace($"/run/netns/{Name}");
            return open();
        },
        CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    public async ValueTask DisposeAsync()
    {
        string processes = await Command.CheckAsync(Command.ShortDeadline, null, "ip", "netns", "pids", Name);
        string[] ids = processes.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (ids.Length > 0) await Command.RunAsync(Command.ShortDeadline, null, "kill", ["-KILL", .. ids]);
        await Command.CheckAsync(Command.ShortDeadline, null, "ip", "netns", "delete", Name);
    }

    private static Task<string> SweepAsync() => Command.CheckAsync(Command.ShortDeadline, null, Repository.File("scripts/lib/sweep-namespaces"));

    private static ulong StartTime()
    {
        // The 22nd field of proc(5) stat, so the 20th behind the command name, which may hold blanks.
        string stat = File.ReadAllText("/proc/self/stat");
        return ulong.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[19], CultureInfo.InvariantCulture);
    }
}
