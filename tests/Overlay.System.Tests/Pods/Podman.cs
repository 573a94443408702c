using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Pods;

/// <summary>A podman of a node's own, with its CNI backend and the image of busybox.</summary>
internal sealed class Podman : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly DirectoryInfo _folder = NetworkNamespace.CreateDirectory();
    private readonly NetworkNamespace _host;
    private readonly Dictionary<string, NetworkNamespace> _containers = [];

    private Podman(NetworkNamespace host) => _host = host;

    private string Settings => Path.Combine(_folder.FullName, "containers.conf");

    /// <param name="host">The node's namespace.</param>
    /// <param name="conflist">Of the network 'overlay'.</param>
    public static async Task<Podman> CreateAsync(NetworkNamespace host, string conflist)
    {
        var podman = new Podman(host);
        try
        {
            await podman.SetUpAsync(conflist);
            return podman;
        }
        catch
        {
            await podman.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a container that serves "hello" on port 80.</summary>
    /// <returns>Its network namespace.</returns>
    public async Task<NetworkNamespace> RunAsync(string name, params string[] options)
    {
        await CallAsync(["run", "-d", "--name", name, "--network", "overlay", .. options, "localhost/busybox:test", "/bin/sh", "-c", "while true; do echo hello | nc -l -p 80; done"]);
        string pid = (await CallAsync("inspect", "--format", "{{.State.Pid}}", name)).Trim();
        return _containers[name] = await NetworkNamespace.AttachAsync(pid, name);
    }

    public async Task StopAsync(string name)
    {
        await CallAsync("rm", "-f", "-t", "0", name);
        await _containers[name].DisposeAsync();
        _containers.Remove(name);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (string name in _containers.Keys.ToArray()) await StopAsync(name);
        _folder.Delete(recursive: true);
    }

    private async Task SetUpAsync(string conflist)
    {
        Containerd.CopyPlugins(Sub("bin"));
        await File.WriteAllTextAsync(Path.Combine(Sub("net.d"), "10-overlay.conflist"), conflist);
        await File.WriteAllTextAsync(Settings, $"""
            [containers]
            default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
            [network]
            network_backend = "cni"
            cni_plugin_dirs = ["{Sub("bin")}"]
            network_config_dir = "{Sub("net.d")}"
            [engine]
            cgroup_manager = "cgroupfs"
            events_logger = "file"
            runtime = "runc"
            """);
        string image = Path.Combine(_folder.FullName, "image.tar");
        await Command.CheckAsync(Deadline, null, Repository.File("scripts/lib/busybox-image"), image);
        await CallAsync("load", "-i", image);
    }

    private string Sub(string name) => _folder.CreateSubdirectory(name).FullName;

    private Task<string> CallAsync(params string[] arguments) => Command.CheckAsync(
        Deadline, null, "nsenter",
        [
            $"--net=/run/netns/{_host.Name}", "env", $"CONTAINERS_CONF={Settings}", "podman", "--root", Path.Combine(_folder.FullName, "root"),
            "--runroot", Path.Combine(_folder.FullName, "run"), "--storage-driver", "vfs", .. arguments,
        ]);
}
