using System.Net;

namespace Overlay.Controller;

/// <summary>Reads a controller's configuration file.</summary>
internal sealed class ControllerOptionsReader(ConfigurationProblems problems)
{
    private const int DefaultLeaseSeconds = 15;
    private const int DefaultGraceSeconds = 3600;

    /// <summary>Null, with every reason among the problems, where anything is wrong.</summary>
    public static ControllerOptions? Load(string path, ConfigurationProblems problems) =>
        ConfigurationText.Read(path, problems) is { } text ? Parse(text, problems) : null;

    public static ControllerOptions? Parse(string text, ConfigurationProblems problems)
    {
        if (YamlDocumentReader.Read(text, problems) is not { } document) return null;
        ControllerOptions options = new ControllerOptionsReader(problems).Read(new YamlSection(document, "the file", 1, problems));
        return problems.Any ? null : options;
    }

    private ControllerOptions Read(YamlSection root)
    {
        StoreOptions store = ReadStore(root.Section("store"));
        Located<IPEndPoint>? listen = root.Optional<IPEndPoint>("listen", ConfigurationValues.EndPoint("0.0.0.0:7443", "\"[::]:7443\""));
        Located<string> socket = root.OrDefault<string>("socket", Rpc.ControllerApi.DefaultSocket, ConfigurationValues.SocketPath);
        YamlSection tlsSection = root.Section("tls");
        TlsPaths? tls = listen is null ? null : ReadTls(tlsSection);
        if (listen is null) tlsSection.Refuse(["certificate", "key", "authority"], "has no use without 'listen'", "write 'listen: 0.0.0.0:7443', or leave it out");
        tlsSection.RefuseUnknownKeys();

        YamlSection nodes = root.Section("nodes");
        Located<int> lease = nodes.OrDefault("leaseSeconds", DefaultLeaseSeconds, ConfigurationValues.Integer(2, 3600));
        Located<int> grace = nodes.OrDefault("graceSeconds", DefaultGraceSeconds, ConfigurationValues.Integer(1, 365 * 86400));
        nodes.RefuseUnknownKeys();

        YamlSection limits = root.Section("limits");
        Located<int> bytes = limits.OrDefault("requestBytes", 256 << 10, ConfigurationValues.Integer(1 << 10, 64 << 20));
        Located<int> streams = limits.OrDefault("streamsPerClient", 4, ConfigurationValues.Integer(1, 1000));
        limits.RefuseUnknownKeys();

        YamlSection metricsSection = root.Section("metrics");
        Located<IPEndPoint>? metrics = metricsSection.Optional<IPEndPoint>("listen", ConfigurationValues.EndPoint("127.0.0.1:9480", "\"[::1]:9480\""));
        metricsSection.RefuseUnknownKeys();
        root.RefuseUnknownKeys();
        return new ControllerOptions(
            store, listen?.Value, tls, socket, new NodeLeaseOptions(TimeSpan.FromSeconds(lease.Value), TimeSpan.FromSeconds(grace.Value)),
            new ControllerLimits(bytes, streams), metrics?.Value);
    }

    private StoreOptions ReadStore(YamlSection section)
    {
        Located<bool> etcd = section.OrDefault("kind", false, ConfigurationValues.OneOf(("sqlite", false), ("etcd", true)));
        Located<string> file = section.OrDefault<string>("file", "/var/lib/overlay/control.db", ConfigurationValues.FilePath);
        IReadOnlyList<Located<Uri>> endpoints = section.List<Uri>("endpoints", EtcdEndpoint);
        Located<string> prefix = section.OrDefault<string>("prefix", "overlay/", EtcdPrefix);
        YamlSection tlsSection = section.Section("tls");
        tlsSection.Name = "tls of store";
        bool hasTls = tlsSection.Has("certificate") || tlsSection.Has("key") || tlsSection.Has("authority");
        TlsPaths? tls = hasTls ? ReadTls(tlsSection) : null;
        tlsSection.RefuseUnknownKeys();
        if (etcd)
        {
            section.Refuse(["file"], "is for SQLite", "leave it out, or write 'kind: sqlite'");
            if (endpoints.Count == 0 && !problems.Any) problems.Add(section.Line, "store has no 'endpoints'", "write 'endpoints: [http://127.0.0.1:2379]' with the members of etcd");
        }
        else
        {
            section.Refuse(["endpoints", "prefix", "tls"], "is for etcd", "leave it out, or write 'kind: etcd'");
        }
        section.RefuseUnknownKeys();
        return new StoreOptions(file, [.. endpoints.Select(each => each.Value)], prefix, tls);
    }

    private static TlsPaths? ReadTls(YamlSection section)
    {
        Located<string>? certificate = section.Required<string>("certificate", "/etc/overlay/controller.pem", ConfigurationValues.FilePath);
        Located<string>? key = section.Required<string>("key", "/etc/overlay/controller.key", ConfigurationValues.FilePath);
        Located<string>? authority = section.Required<string>("authority", "/etc/overlay/ca.pem", ConfigurationValues.FilePath);
        return certificate is { } c && key is { } k && authority is { } a ? new TlsPaths(c, k, a) : null;
    }

    private static Refusal? EtcdEndpoint(string text, out Uri value)
    {
        bool good = Uri.TryCreate(text, UriKind.Absolute, out Uri? parsed) && parsed.Scheme is "http" or "https" && parsed.AbsolutePath == "/";
        value = parsed ?? new Uri("http://127.0.0.1:2379");
        return good ? null : new Refusal($"'{text}' is no client URL of etcd", "write it as http://127.0.0.1:2379");
    }

    private static Refusal? EtcdPrefix(string text, out string value)
    {
        value = text;
        return text.Length is > 1 and <= 64 && text.EndsWith('/') && text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '/' or '-' or '_' or '.')
            ? null
            : new Refusal($"'{text}' is no prefix of keys", "write up to 64 letters, digits, '-', '_', '.' and '/', with '/' at the end");
    }
}
