namespace Overlay.SystemTests.Lab;

/// <summary>A host with one pod: two namespaces, a veth pair between them, addresses derived from the node's number.</summary>
internal sealed class LabNode
{
    public const string UnderlayDevice = "underlay0";

    private readonly LabOptions _options;

    public LabNode(int number, LabOptions options, NetworkNamespace host, NetworkNamespace pod)
    {
        Number = number;
        _options = options;
        Host = host;
        Pod = pod;
    }

    public int Number { get; }

    public NetworkNamespace Host { get; }

    public NetworkNamespace Pod { get; }

    public string Name => $"node-{(char)('a' + Number - 1)}";

    public string Underlay4 => $"192.0.2.{Number}";

    public string Underlay6 => $"2001:db8:77::{Number}";

    /// <summary>The address that peers send to.</summary>
    public string Underlay => _options.Family == UnderlayFamily.Ipv4 ? Underlay4 : Underlay6;

    /// <summary>MAC of the tunnel device.</summary>
    public string Mac => $"02:00:00:00:00:{Number:x2}";

    public string PodPrefix4 => $"10.244.{Number}.0/24";

    public string PodPrefix6 => $"fd00:244:{Number}::/64";

    public string Tunnel4 => $"10.244.{Number}.0";

    public string Tunnel6 => $"fd00:244:{Number}::";

    public string Pod4 => $"10.244.{Number}.2";

    public string Pod6 => $"fd00:244:{Number}::2";

    public int OverlayMtu => _options.OverlayMtu;

    /// <summary>Connects the pod to its host and the host to its underlay device, which must be there.</summary>
    public async Task ConfigureAsync()
    {
        await Host.SysctlAsync("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
        await Host.IpAsync(
            $"link add pod0 mtu {OverlayMtu} type veth peer name eth0 netns {Pod.Name} mtu {OverlayMtu}",
            $"address add 10.244.{Number}.1/24 dev pod0",
            $"address add fd00:244:{Number}::1/64 dev pod0",
            "link set pod0 up");
        await Pod.IpAsync(
            $"address add {Pod4}/24 dev eth0",
            $"address add {Pod6}/64 dev eth0",
            "link set eth0 up",
            $"route add default via 10.244.{Number}.1",
            $"route add default via fd00:244:{Number}::1");
        await Host.IpAsync(
            $"link set {UnderlayDevice} mtu {_options.UnderlayMtu}",
            $"address add {Underlay4}/{(_options.Routed ? 32 : 24)} dev {UnderlayDevice}",
            $"address add {Underlay6}/{(_options.Routed ? 128 : 64)} dev {UnderlayDevice}",
            $"link set {UnderlayDevice} up");
        if (_options.Routed) await RoutedUnderlay.ConnectAsync(this);
        if (_options.Wire) await Host.CheckAsync("ethtool", "-K", UnderlayDevice, "tx", "off", "tso", "off", "gso", "off", "gro", "on");
    }
}
