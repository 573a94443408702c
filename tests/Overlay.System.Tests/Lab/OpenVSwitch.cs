namespace Overlay.SystemTests.Lab;

/// <summary>
/// A node whose tunnels are Open vSwitch's, in its userspace datapath: one bridge holds the underlay device and its addresses, the other one
/// the tunnel and the tunnel device's MAC. Database and sockets are the test's own.
/// </summary>
internal sealed class OpenVSwitch : IAsyncDisposable
{
    private const string Device = "br-int";
    private const string UnderlayBridge = "br-phy";
    private const string Schema = "/usr/share/openvswitch/vswitch.ovsschema";
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    private readonly LabNode _node;
    private readonly DirectoryInfo _directory = NetworkNamespace.CreateDirectory();
    private readonly List<RunningProcess> _processes = [];

    private OpenVSwitch(LabNode node) => _node = node;

    private string Socket => Path.Combine(_directory.FullName, "db.sock");

    /// <param name="node">Whose tunnel to make.</param>
    /// <param name="peer">The other end.</param>
    /// <param name="tunnel">What it agreed on.</param>
    /// <param name="portOptions">Options of the tunnel port, such as <c>options:csum=true</c>.</param>
    public static async Task<OpenVSwitch> StartAsync(LabNode node, LabNode peer, TunnelOptions tunnel, params string[] portOptions)
    {
        var started = new OpenVSwitch(node);
        try
        {
            await started.LaunchAsync();
            await started.ConfigureAsync(peer, tunnel, portOptions);
            return started;
        }
        catch
        {
            await started.DisposeAsync();
            throw;
        }
    }

    /// <summary>Sends with an option, and takes only what carries another: both of class 0x0102, type 1, four octets.</summary>
    public async Task RequireOptionAsync(string sent, string required)
    {
        await OpenFlowAsync("add-tlv-map", Device, "{class=0x0102,type=0x1,len=4}->tun_metadata0");
        await OpenFlowAsync("del-flows", Device);
        await OpenFlowAsync("add-flow", Device, $"in_port=LOCAL,actions=set_field:0x{sent}->tun_metadata0,output:1");
        await OpenFlowAsync("add-flow", Device, $"in_port=1,tun_metadata0=0x{required},actions=LOCAL");
    }

    /// <summary>Makes a device of the host a port of the bridge that has the tunnel; frames go by MAC address.</summary>
    public Task AddPortAsync(string device) => ConfigureAsync("add-port", Device, device);

    public ValueTask DisposeAsync()
    {
        Enumerable.Reverse(_processes).ToList().ForEach(process => process.Dispose());
        _directory.Delete(recursive: true);
        return ValueTask.CompletedTask;
    }

    private async Task LaunchAsync()
    {
        string database = Path.Combine(_directory.FullName, "conf.db");
        await Command.CheckAsync(Deadline, null, "ovsdb-tool", "create", database, Schema);
        RunningProcess server = Launch("ovsdb-server", database, $"--remote=punix:{Socket}", $"--unixctl={Path.Combine(_directory.FullName, "db.ctl")}", "-vconsole:info");
        await server.WaitForTextAsync("ovsdb-server (Open vSwitch)", Deadline);
        await ConfigureAsync("--no-wait", "init");
        Launch("ovs-vswitchd", $"unix:{Socket}", $"--unixctl={Path.Combine(_directory.FullName, "switch.ctl")}", "--log-file=/dev/null");
    }

    private async Task ConfigureAsync(LabNode peer, TunnelOptions tunnel, string[] portOptions)
    {
        await ConfigureAsync(
            "add-br", UnderlayBridge, "--", "set", "bridge", UnderlayBridge, "datapath_type=netdev",
            "--", "add-port", UnderlayBridge, LabNode.UnderlayDevice,
            "--", "add-br", Device, "--", "set", "bridge", Device, "datapath_type=netdev", $"other-config:hwaddr=\"{_node.Mac}\"",
            "--", "add-port", Device, "tunnel0", "--", "set", "interface", "tunnel0", "ofport_request=1", $"type={tunnel.Encapsulation}",
            $"options:remote_ip=\"{peer.Underlay}\"", $"options:key={tunnel.Vni}", $"options:dst_port={tunnel.Port}");
        if (portOptions.Length > 0) await ConfigureAsync(["set", "interface", "tunnel0", .. portOptions]);
        await _node.Host.IpAsync(
            $"address flush dev {LabNode.UnderlayDevice}",
            $"address add {_node.Underlay4}/24 dev {UnderlayBridge}",
            $"address add {_node.Underlay6}/64 dev {UnderlayBridge}",
            $"link set {UnderlayBridge} up",
            $"link set {Device} mtu {_node.OverlayMtu}",
            $"address add {_node.Tunnel4}/32 dev {Device}",
            $"address add {_node.Tunnel6}/128 dev {Device}",
            $"link set {Device} up",
            $"neighbour replace {peer.Tunnel4} lladdr {peer.Mac} dev {Device} nud permanent",
            $"neighbour replace {peer.Tunnel6} lladdr {peer.Mac} dev {Device} nud permanent",
            $"route replace {peer.PodPrefix4} via {peer.Tunnel4} dev {Device} onlink",
            $"route replace {peer.PodPrefix6} via {peer.Tunnel6} dev {Device} onlink");
    }

    private RunningProcess Launch(params string[] command)
    {
        var environment = new Dictionary<string, string>
        {
            ["OVS_RUNDIR"] = _directory.FullName,
            ["OVS_LOGDIR"] = _directory.FullName,
            ["OVS_DBDIR"] = _directory.FullName,
        };
        RunningProcess process = _node.Host.Start(command, environment);
        _processes.Add(process);
        return process;
    }

    /// <summary>Waits until the switch has done it, unless told otherwise.</summary>
    private Task<string> ConfigureAsync(params string[] arguments) =>
        _node.Host.CheckAsync(["ovs-vsctl", $"--db=unix:{Socket}", "--timeout=15", .. arguments]);

    private Task<string> OpenFlowAsync(string command, string bridge, params string[] arguments) => _node.Host.CheckAsync(
        ["ovs-ofctl", "--timeout=15", command, $"unix:{Path.Combine(_directory.FullName, $"{bridge}.mgmt")}", .. arguments]);
}
