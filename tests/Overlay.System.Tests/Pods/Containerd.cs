using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Pods;

/// <summary>A containerd of a node's own, with the image of busybox, whose containers <c>ctr run --cni</c> starts.</summary>
internal sealed class Containerd : IAsyncDisposable
{
    private const string Image = "localhost/busybox:test";

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly DirectoryInfo _folder = NetworkNamespace.CreateDirectory();
    private readonly NetworkNamespace _host;
    private readonly string _plugins;
    private readonly string _configurations;
    private readonly Dictionary<string, (RunningProcess Process, NetworkNamespace Space)> _containers = [];
    private RunningProcess? _daemon;

    private Containerd(NetworkNamespace host)
    {
        _host = host;
        _plugins = _folder.CreateSubdirectory("bin").FullName;
        _configurations = _folder.CreateSubdirectory("net.d").FullName;
    }

    private string Socket => Path.Combine(_folder.FullName, "c.sock");

    public static async Task<Containerd> StartAsync(NetworkNamespace host, string conflist)
    {
        var containerd = new Containerd(host);
        try
        {
            await containerd.StartAsync(conflist);
            return containerd;
        }
        catch
        {
            await containerd.DisposeAsync();
            throw;
        }
    }

    /// <summary>The folder's plugins: ours and the reference ones.</summary>
    public static void CopyPlugins(string folder)
    {
        foreach (string plugin in new[] { "loopback", "portmap", "bandwidth", "firewall" }) File.CreateSymbolicLink(Path.Combine(folder, plugin), $"/usr/lib/cni/{plugin}");
        File.CreateSymbolicLink(Path.Combine(folder, "overlay-cni"), Repository.CniPlugin);
    }

    /// <summary>Starts a container, and waits until it runs.</summary>
    /// <returns>Its network namespace.</returns>
    public async Task<NetworkNamespace> RunAsync(string name)
    {
        // Not by ip-netns(8), which hides the control groups.
        string places = $"mount --bind {_configurations} /etc/cni/net.d && mount --bind {_plugins} /opt/cni/bin && exec \"$@\"";
        string[] run = ["ctr", "-a", Socket, "run", "--cni", "--rm", "--snapshotter", "native", Image, name, "/bin/sh", "-c", "echo started; exec sleep 1000"];
        RunningProcess process = RunningProcess.Start("nsenter", [$"--net=/run/netns/{_host.Name}", "unshare", "-m", "sh", "-c", places, "sh", .. run]);
        await process.WaitForTextAsync("started", Deadline);
        string tasks = await CtrAsync("task", "ls");
        string pid = tasks.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1];
        NetworkNamespace space = await NetworkNamespace.AttachAsync(pid, name);
        _containers[name] = (process, space);
        return space;
    }

    /// <summary>Ends a container, of which ctr then deletes the network.</summary>
    public async Task StopAsync(string name)
    {
        (RunningProcess process, NetworkNamespace space) = _containers[name];
        await CtrAsync("task", "kill", "-s", "SIGKILL", name);
        await process.WaitForExitAsync(Deadline);
        process.Dispose();
        await space.DisposeAsync();
        _containers.Remove(name);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (string name in _containers.Keys.ToArray()) await StopAsync(name);
        if (_daemon is not null)
        {
            _daemon.Signal(Libc.SignalTerminate);
            await _daemon.WaitForExitAsync(Deadline);
            _daemon.Dispose();
        }
        _folder.Delete(recursive: true);
    }

    private async Task StartAsync(string conflist)
    {
        Directory.CreateDirectory("/etc/cni/net.d");
        Directory.CreateDirectory("/opt/cni/bin");
        CopyPlugins(_plugins);
        await File.WriteAllTextAsync(Path.Combine(_configurations, "10-overlay.conflist"), conflist);
        string file = Path.Combine(_folder.FullName, "containerd.toml");
        await File.WriteAllTextAsync(file, $"""
            version = 2
            root = "{_folder.FullName}/root"
            state = "{_folder.FullName}/run"
            disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
            [grpc]
            address = "{Socket}"
            """);
        _daemon = RunningProcess.Start("nsenter", [$"--net=/run/netns/{_host.Name}", "containerd", "-c", file]);
        await _daemon.WaitForTextAsync("containerd successfully booted", Deadline);
        string image = Path.Combine(_folder.FullName, "image.tar");
        await Command.CheckAsync(Deadline, null, Repository.File("scripts/lib/busybox-image"), image);
        await CtrAsync("image", "import", "--snapshotter", "native", image);
    }

    private Task<string> CtrAsync(params string[] arguments) => Command.CheckAsync(Deadline, null, "ctr", ["-a", Socket, .. arguments]);
}
