using System.Net;
using Overlay.Control.Model;
using Overlay.Dataplane.Tunnels;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>Reads the sections of a configuration file into options. What refers to other values is left to the checks.</summary>
internal sealed class ConfigurationReader(ConfigurationProblems problems)
{
    private const int DefaultTtl = 64;
    private const int MaxVni = (1 << 24) - 1;

    /// <summary>Reads and checks a file. Null, with every reason among the problems, where anything is wrong.</summary>
    public static OverlaydOptions? Load(string path, ConfigurationProblems problems) =>
        ConfigurationText.Read(path, problems) is { } text ? Parse(text, problems) : null;

    /// <summary>As <see cref="Load"/>, for the text of a file.</summary>
    public static OverlaydOptions? Parse(string text, ConfigurationProblems problems)
    {
        if (YamlDocumentReader.Read(text, problems) is not { } document) return null;
        OverlaydOptions? options = new ConfigurationReader(problems).Read(new YamlSection(document, "the file", 1, problems));
        if (options is not null) new ConfigurationChecks(options, problems).Run();
        if (options is null || problems.Any || options.RoutesFile is not { } file) return problems.Any ? null : options;
        options = options with { FileRoutes = RoutesFileReader.Read(options, file, problems.In(file)) };
        new RouteChecks(options, problems).RunAcrossFiles();
        return problems.Any ? null : options;
    }

    private OverlaydOptions? Read(YamlSection root)
    {
        Located<string>? node = root.Required<string>("node", "node-a", ConfigurationValues.Name);
        YamlSection api = root.Section("api");
        Located<string> socket = api.OrDefault<string>("socket", LocalApi.DefaultSocket, ConfigurationValues.SocketPath);
        api.RefuseUnknownKeys();
        ControlOptions? control = ControlReader.Read(root, problems);
        TunnelOptions tunnel = TunnelReader.Read(root.Section("tunnel"));
        if (root.Has("control")) tunnel = TunnelReader.ForNetworks(tunnel, problems);
        UnderlayOptions underlay = ReadUnderlay(root.Section("underlay"), tunnel.Encapsulation);

        var segments = new List<SegmentOptions>();
        foreach (YamlSection section in root.Sections("segments", "a segment"))
        {
            if (ReadSegment(section, tunnel.Encapsulation) is { } segment) segments.Add(segment);
        }
        var peers = new List<PeerOptions>();
        foreach (YamlSection section in root.Sections("peers", "a peer"))
        {
            if (ReadPeer(section, underlay.Port, segments) is { } peer) peers.Add(peer);
        }
        var routes = new List<RouteOptions>();
        foreach (YamlSection section in root.Sections("routes", "a route"))
        {
            if (RouteReader.Read(section, segments, problems) is { } route) routes.Add(route);
        }
        Located<string>? routesFile = root.Optional<string>("routesFile", ConfigurationValues.AbsolutePath);
        if (segments.Count == 0 && control is null && !problems.Any)
            problems.Add(root.Line, "the file has no segment", "list at least one under 'segments:' with name, vni and device, or write 'control:' with a controller");
        PodsOptions? pods = PodsReader.Read(root, segments.Count == 1 ? segments[0].Name.Value : control?.Networks is [var only] ? only.Value : null);
        MetricsOptions metrics = ObservationReader.ReadMetrics(root.Section("metrics"));
        CaptureOptions capture = ObservationReader.ReadCapture(root.Section("capture"));
        root.RefuseUnknownKeys();
        return node is not { } name ? null
            : new OverlaydOptions(name, socket, underlay, tunnel, segments, peers, routes)
            {
                Control = control,
                Pods = pods,
                RoutesFile = routesFile,
                Metrics = metrics,
                Capture = capture,
            };
    }

    private UnderlayOptions ReadUnderlay(YamlSection section, Encapsulation encapsulation)
    {
        var options = new UnderlayOptions(
            section.Line,
            section.Optional<string>("interface", ConfigurationValues.DeviceName),
            section.List<IPAddress>("addresses", ConfigurationValues.UnicastAddress),
            section.OrDefault("port", TunnelReader.DefaultPort(encapsulation), ConfigurationValues.Integer(1, 65535)),
            section.OrDefault<int?>("ttl", DefaultTtl, ConfigurationValues.CopyOr(ConfigurationValues.Integer(1, 255))),
            section.OrDefault<int?>("trafficClass", 0, ConfigurationValues.CopyOr<int>(TrafficClass)),
            section.OrDefault("queues", 1, ConfigurationValues.Integer(1, 64)),
            ReadPathMtu(section.Section("pathMtu")));
        section.RefuseUnknownKeys();
        if (options.Interface is null && options.Addresses.Count == 0)
            problems.Add(section.Line, "underlay has neither 'interface' nor 'addresses'", "write 'interface: eth0' or 'addresses: [192.0.2.1]'");
        return options;
    }

    private static PathMtuOptions ReadPathMtu(YamlSection section)
    {
        const int day = 86_400;
        var options = new PathMtuOptions(
            section.OrDefault<bool>("probe", true, ConfigurationValues.Boolean),
            section.OrDefault("confirmSeconds", 1, ConfigurationValues.Integer(1, day)),
            section.OrDefault("raiseSeconds", 600, ConfigurationValues.Integer(5, day)));
        section.RefuseUnknownKeys();
        return options;
    }

    private static Refusal? TrafficClass(string text, out int value)
    {
        if (ConfigurationValues.Integer(0, 255)(text, out value) is { } refusal) return refusal;
        return (value & 3) == 0
            ? null
            : new Refusal($"'{text}' sets ECN bits, which are copied from the inner packet", $"write {value & ~3}, its DSCP part");
    }

    private static SegmentOptions? ReadSegment(YamlSection section, Located<Encapsulation> encapsulation)
    {
        Located<string>? name = section.Required<string>("name", "pods", ConfigurationValues.Name);
        if (name is { } known) section.Name = $"segment '{known}'";
        Located<string>? device = section.Required<string>("device", "overlay0", ConfigurationValues.DeviceName);
        Located<MacAddress>? mac = section.Optional<MacAddress>("mac", ConfigurationValues.Mac);
        Located<int>? mtu = section.Optional("mtu", ConfigurationValues.Integer(SegmentOptions.LeastMtu, SegmentOptions.MostMtu));
        Located<bool> persistent = section.OrDefault<bool>("persistent", false, ConfigurationValues.Boolean);
        IReadOnlyList<Located<InterfaceAddress>> addresses =
            section.List<InterfaceAddress>("addresses", ConfigurationValues.InterfaceAddress);
        SegmentTunnelOptions tunnel = TunnelReader.ReadSegment(section, encapsulation);
        BridgingOptions? bridging = BridgingReader.Read(section);
        IReadOnlyList<Located<IPNetwork>> cover = section.List<IPNetwork>("cover", ConfigurationValues.Prefix);
        Located<DirectMode> direct = section.OrDefault("direct", DirectMode.Never, RouteReader.DirectModes);
        Located<int>? vni = tunnel.Encapsulation.Value == Encapsulation.IpInIp
            ? section.OrDefault("vni", SegmentOptions.NoVni, ConfigurationValues.Integer(0, MaxVni))
            : section.Required("vni", "42", ConfigurationValues.Integer(0, MaxVni));
        section.RefuseUnknownKeys();
        return name is { } n && vni is { } v && device is { } d ? new SegmentOptions(n, v, d, mac, mtu, persistent, tunnel, addresses) { Bridging = bridging, Direct = direct, Cover = cover } : null;
    }

    private PeerOptions? ReadPeer(YamlSection section, Located<int> defaultPort, List<SegmentOptions> segments)
    {
        Located<string>? name = section.Required<string>("name", "node-b", ConfigurationValues.Name);
        if (name is { } known) section.Name = $"peer '{known}'";
        Located<IPAddress>? address = section.Required<IPAddress>("address", "192.0.2.2", ConfigurationValues.UnicastAddress);
        Located<int> port = section.OrDefault("port", defaultPort.Value, ConfigurationValues.Integer(1, 65535));
        Located<MacAddress>? mac = section.Optional<MacAddress>("mac", ConfigurationValues.Mac);
        Dictionary<string, Located<MacAddress>> macs = ReadMacs(section, segments);
        Located<int?>? mssClamp = section.Optional<int?>("mssClamp", ConfigurationValues.MssClamp);
        Located<bool>? fragment = section.Optional("fragment", TunnelReader.Fragment);
        Located<bool>? reversePath = section.Optional("reversePath", TunnelReader.ReversePath);
        section.RefuseUnknownKeys();
        return name is { } n && address is { } a
            ? new PeerOptions(n, a, port, mac, macs) { MssClamp = mssClamp, FragmentsInner = fragment, ChecksReversePath = reversePath }
            : null;
    }

    private Dictionary<string, Located<MacAddress>> ReadMacs(YamlSection peer, List<SegmentOptions> segments)
    {
        YamlSection section = peer.Section("macs");
        section.Name = $"macs of {peer.Name}";
        var macs = new Dictionary<string, Located<MacAddress>>();
        foreach (SegmentOptions segment in segments)
        {
            if (segment.NeedsPeerMacs)
            {
                if (section.Optional<MacAddress>(segment.Name, ConfigurationValues.Mac) is { } mac) macs[segment.Name] = mac;
            }
            else
            {
                section.Refuse([segment.Name], "has no use: the segment sends nothing to the MAC of a peer", "leave it out");
            }
        }
        // A segment that was refused may be meant.
        if (!problems.Any) section.RefuseUnknownKeys();
        return macs;
    }
}
