namespace Overlay.SystemTests.Lab;

/// <summary>
/// Debian's user-mode-linux in place of a node's host, between its underlay and its pod: a kernel that has IP-in-IP devices, whatever the one
/// that runs the tests was built with. The node's namespace becomes two wires.
/// </summary>
internal sealed class UserModeKernel : IAsyncDisposable
{
    private const string Ready = "user mode kernel ready";

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private static readonly string[] Modules =
        ["lib/crc-ccitt", "net/ipv6/ipv6", "net/ipv4/tunnel4", "net/ipv4/ip_tunnel", "net/ipv4/ipip", "net/ipv6/tunnel6", "net/ipv6/sit", "net/ipv6/ip6_tunnel"];

    private readonly DirectoryInfo _directory;
    private readonly RunningProcess _process;

    private UserModeKernel(DirectoryInfo directory, RunningProcess process)
    {
        _directory = directory;
        _process = process;
    }

    /// <summary>Starts with the node's addresses, and a tunnel device for each inner version to a peer, whose pods are routed into them.</summary>
    public static async Task<UserModeKernel> StartAsync(LabNode node, LabNode peer)
    {
        await node.Host.IpAsync(
            $"address flush dev {LabNode.UnderlayDevice}", "address flush dev pod0",
            "tuntap add dev uml0 mode tap", "tuntap add dev uml1 mode tap",
            "link add wire0 type bridge", "link add wire1 type bridge",
            $"link set {LabNode.UnderlayDevice} master wire0", "link set uml0 master wire0", "link set pod0 master wire1", "link set uml1 master wire1",
            "link set uml0 up", "link set uml1 up", "link set wire0 up", "link set wire1 up");
        DirectoryInfo directory = NetworkNamespace.CreateDirectory();
        string script = Path.Combine(directory.FullName, "init");
        await File.WriteAllTextAsync(script, Script(node, peer));
        File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        RunningProcess process = node.Host.Start(
        [
            "linux.uml", "mem=128M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", $"init={script}", "con=null", "con0=null,fd:1",
            "vec0:transport=tap,ifname=uml0,depth=128,gro=1", "vec1:transport=tap,ifname=uml1,depth=128,gro=1",
            $"umid={directory.Name}", $"uml_dir={directory.FullName}/",
        ]);
        var kernel = new UserModeKernel(directory, process);
        try
        {
            await process.WaitForTextAsync(Ready, Deadline);
            return kernel;
        }
        catch
        {
            await kernel.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Signal(Libc.SignalTerminate);
            await _process.WaitForExitAsync(Deadline);
        }
        _process.Dispose();
        _directory.Delete(recursive: true);
    }

    private static string Script(LabNode node, LabNode peer)
    {
        bool isIpv4 = !node.Underlay.Contains(':');
        string[] tunnels = isIpv4
            ? [$"link add name tunnel4 type ipip local {node.Underlay} remote {peer.Underlay} ttl 64", $"link add name tunnel6 type sit local {node.Underlay} remote {peer.Underlay} ttl 64"]
            : [$"link add name tunnel4 type ip6tnl mode any local {node.Underlay} remote {peer.Underlay}"];
        string[] lines =
        [
            "link set lo up", "link set vec0 up", "link set vec1 up",
            $"address add {node.Underlay4}/24 dev vec0", $"address add {node.Underlay6}/64 dev vec0 nodad",
            $"address add 10.244.{node.Number}.1/24 dev vec1", $"address add fd00:244:{node.Number}::1/64 dev vec1 nodad",
            .. tunnels, "link set tunnel4 up", .. isIpv4 ? ["link set tunnel6 up"] : Array.Empty<string>(),
            $"route add {peer.PodPrefix4} dev tunnel4", $"-6 route add {peer.PodPrefix6} dev {(isIpv4 ? "tunnel6" : "tunnel4")}",
        ];
        return $"""
            #!/bin/sh -e
            exec >/dev/console 2>&1
            mount -t proc proc /proc
            for module in {string.Join(' ', Modules)}; do insmod "/usr/lib/uml/modules/$(uname -r)/kernel/$module.ko"; done
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
            {string.Join('\n', lines.Select(line => $"ip {line}"))}
            echo {Ready}
            exec sleep infinity

            """;
    }
}
