namespace Overlay.SystemTests.Lab;

/// <summary>Nodes on one underlay network: two back to back or behind routers, more on a switch.</summary>
internal sealed class LabNetwork : IAsyncDisposable
{
    private readonly List<IAsyncDisposable> _owned = [];
    private readonly List<LabNode> _nodes = [];

    private LabNetwork(LabOptions options) => Options = options;

    public LabOptions Options { get; }

    public IReadOnlyList<LabNode> Nodes => _nodes;

    /// <summary>What lies between the nodes; null unless the options say so.</summary>
    public RoutedUnderlay? Routers { get; private set; }

    public LabNode A => _nodes[0];

    public LabNode B => _nodes[1];

    public static async Task<LabNetwork> CreateAsync(LabOptions options)
    {
        var network = new LabNetwork(options);
        try
        {
            await network.BuildAsync();
            return network;
        }
        catch
        {
            await network.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts the daemon on a node, with every other node as its peer.</summary>
    public Task<OverlayDaemon> StartDaemonAsync(LabNode node, TunnelOptions tunnel) =>
        StartDaemonAsync(node, DaemonConfiguration.For(node, _nodes.Where(peer => peer != node), tunnel));

    public async Task<OverlayDaemon> StartDaemonAsync(LabNode node, DaemonConfiguration configuration)
    {
        OverlayDaemon daemon = await OverlayDaemon.StartAsync(node.Host, configuration);
        _owned.Add(daemon);
        return daemon;
    }

    /// <summary>Makes a node a kernel VXLAN one, with every other node as its peer.</summary>
    public Task StartKernelVxlanAsync(LabNode node, TunnelOptions tunnel) =>
        KernelVxlan.ConfigureAsync(node, [.. _nodes.Where(peer => peer != node)], tunnel);

    public async ValueTask DisposeAsync()
    {
        var failures = new List<Exception>();
        foreach (IAsyncDisposable owned in Enumerable.Reverse(_owned))
        {
            try
            {
                await owned.DisposeAsync();
            }
            catch (Exception failure) when (failure is TimeoutException or InvalidOperationException)
            {
                // What is left goes all the same; the failure is told once all is gone.
                failures.Add(failure);
            }
        }
        _owned.Clear();
        if (failures.Count > 0) throw new AggregateException(failures);
    }

    private async Task BuildAsync()
    {
        for (int number = 1; number <= Options.Nodes; number++)
        {
            NetworkNamespace host = await CreateNamespaceAsync($"host-{number}");
            NetworkNamespace pod = await CreateNamespaceAsync($"pod-{number}");
            _nodes.Add(new LabNode(number, Options, host, pod));
        }
        if (Options.Routed) Routers = await RoutedUnderlay.CreateAsync(A, B, Options, CreateNamespaceAsync);
        else await (Options.Nodes == 2 ? ConnectBackToBackAsync() : ConnectToSwitchAsync());
        foreach (LabNode node in _nodes) await node.ConfigureAsync();
    }

    private Task ConnectBackToBackAsync() => A.Host.IpAsync(
        $"link add {LabNode.UnderlayDevice} type veth peer name {LabNode.UnderlayDevice} netns {B.Host.Name}");

    private async Task ConnectToSwitchAsync()
    {
        NetworkNamespace hub = await CreateNamespaceAsync("switch");
        await hub.IpAsync($"link add bridge0 mtu {Options.UnderlayMtu} type bridge", "link set bridge0 up");
        foreach (LabNode node in _nodes)
        {
            string port = $"port{node.Number}";
            await hub.IpAsync(
                $"link add {port} mtu {Options.UnderlayMtu} type veth peer name {LabNode.UnderlayDevice} netns {node.Host.Name}",
                $"link set {port} master bridge0",
                $"link set {port} up");
            if (Options.Wire) await hub.CheckAsync("ethtool", "-K", port, "tx", "off", "tso", "off", "gso", "off");
        }
    }

    private async Task<NetworkNamespace> CreateNamespaceAsync(string label)
    {
        NetworkNamespace created = await NetworkNamespace.CreateAsync(label);
        _owned.Add(created);
        await created.ConfigureAsync();
        return created;
    }
}
