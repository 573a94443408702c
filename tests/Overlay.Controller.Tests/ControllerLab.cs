using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Security;

namespace Overlay.Controller.Tests;

/// <summary>A real controller with a store and certificates of its own, that can be killed and started again.</summary>
public sealed class ControllerLab : IAsyncDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static readonly ServiceDescriptor NodesService = ControlReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Nodes");

    private static readonly ServiceDescriptor AdministrationService = ControlReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Administration");

    private readonly IssuedCertificate _authority = CertificateAuthority.Create("test", DateTimeOffset.UtcNow, TimeSpan.FromDays(1));
    private readonly List<Process> _processes = [];
    private readonly string? _store;
    private readonly string _more;
    private readonly StringBuilder _log = new();

    /// <param name="store">The section <c>store:</c>; null: SQLite in the lab's folder.</param>
    /// <param name="more">Further sections.</param>
    public ControllerLab(string? store = null, string more = "")
    {
        _store = store;
        _more = more;
        File.WriteAllText($"{Folder}/ca.pem", _authority.CertificatePem);
        Issue("controller", new CertificateIdentity(CertificateRole.Controller, "controller"), ["127.0.0.1"]);
        Issue("admin", new CertificateIdentity(CertificateRole.Administrator, "admin"), []);
    }

    /// <summary>A lab whose controller runs.</summary>
    public static async Task<ControllerLab> StartNewAsync(string? store = null, string more = "")
    {
        var lab = new ControllerLab(store, more);
        await lab.StartAsync();
        return lab;
    }

    /// <summary>Of controllers that are started from now on.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; set; } = new Dictionary<string, string>();

    public string Folder { get; } = Directory.CreateTempSubdirectory("ovt-controller-").FullName;

    public string Database => $"{Folder}/control.db";

    public int Port { get; private set; }

    public string Socket { get; private set; } = "";

    public Process Process => _processes[^1];

    /// <summary>What the controllers logged so far.</summary>
    public string Log
    {
        get
        {
            lock (_log) return _log.ToString();
        }
    }

    /// <summary>Waits until a controller has logged something.</summary>
    public async Task WaitForLogAsync(string text)
    {
        long start = Stopwatch.GetTimestamp();
        while (!Log.Contains(text, StringComparison.Ordinal))
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, $"no '{text}' in the log:\n{Log}");
            await Task.Delay(20);
        }
    }

    /// <summary>Writes a certificate and its key.</summary>
    public void Issue(string file, CertificateIdentity identity, string[] hosts, DateTimeOffset? now = null, TimeSpan? life = null, IssuedCertificate? authority = null)
    {
        using var signer = CertificateAuthority.Open((authority ?? _authority).CertificatePem, (authority ?? _authority).KeyPem);
        IssuedCertificate made = signer.Issue(identity, hosts, now ?? DateTimeOffset.UtcNow, life ?? TimeSpan.FromHours(2));
        File.WriteAllText($"{Folder}/{file}.pem", made.CertificatePem);
        File.WriteAllText($"{Folder}/{file}.key", made.KeyPem);
    }

    /// <summary>Starts a controller, on the port of the last one unless there is none, and waits until it answers.</summary>
    /// <param name="another">Beside those that run, on a port and a socket of its own.</param>
    public async Task StartAsync(bool another = false)
    {
        if (Port == 0 || another) Port = FreePort();
        Socket = $"{Folder}/controller-{Port}.sock";
        string file = $"{Folder}/controller-{Port}.yaml";
        File.WriteAllText(file, $$"""
            store: {{_store ?? $"{{ kind: sqlite, file: {Database} }}"}}
            listen: 127.0.0.1:{{Port.ToString(CultureInfo.InvariantCulture)}}
            socket: {{Socket}}
            tls: { certificate: {{Folder}}/controller.pem, key: {{Folder}}/controller.key, authority: {{Folder}}/ca.pem }
            {{_more}}
            """);
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "overlay-controller"), ["--config", file]);
        foreach ((string name, string value) in Environment) start.Environment[name] = value;
        start.RedirectStandardError = true;
        Process process = Process.Start(start)!;
        process.ErrorDataReceived += (_, line) =>
        {
            lock (_log) _log.AppendLine(line.Data);
        };
        process.BeginErrorReadLine();
        _processes.Add(process);
        using GrpcChannel channel = GrpcChannel.ToSocket(Socket);
        await RetryAsync(() => channel.CallAsync(new GrpcMethod<CheckRequest, CheckResponse>(AdministrationService, "Check"), new CheckRequest(), Patience));
    }

    public async Task KillAsync()
    {
        Process.Kill();
        await Process.WaitForExitAsync().WaitAsync(Patience);
    }

    public async Task<int> TerminateAsync()
    {
        using Process kill = Process.Start("kill", ["-TERM", $"{Process.Id}"]);
        await Process.WaitForExitAsync().WaitAsync(Patience);
        return Process.ExitCode;
    }

    /// <summary>Opens a channel with a certificate that was issued into a file; null: with none.</summary>
    public GrpcChannel Open(string? file, int? port = null)
    {
        SslClientAuthenticationOptions options = new TlsFiles($"{Folder}/{file ?? "admin"}.pem", $"{Folder}/{file ?? "admin"}.key", $"{Folder}/ca.pem").ForClient();
        if (file is null) options.ClientCertificateContext = null;
        return GrpcChannel.ToHost("127.0.0.1", port ?? Port, options);
    }

    /// <summary>Opens a channel as a node, for which a certificate is issued.</summary>
    public GrpcChannel OpenNode(string node, int? port = null)
    {
        Issue(node, new CertificateIdentity(CertificateRole.Node, node), []);
        return Open(node, port);
    }

    public static RegisterRequest Registration(string node, string machine = "m", long generation = 0, string attempt = "a", string underlay = "192.0.2.1") => new()
    {
        Node = node,
        Machine = machine,
        Generation = generation,
        Attempt = attempt,
        Mac = "02:00:00:00:00:01",
        Underlay = { underlay },
    };

    public static Task<TResponse> NodesAsync<TRequest, TResponse>(GrpcChannel channel, string method, TRequest request)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() => channel.CallAsync(new GrpcMethod<TRequest, TResponse>(NodesService, method), request, Patience);

    public static IAsyncEnumerable<WatchResponse> Watch(GrpcChannel channel, string node, long after, CancellationToken cancellation, string mark = "") => channel.StreamAsync(
        new GrpcMethod<WatchRequest, WatchResponse>(NodesService, "Watch"), new WatchRequest { Node = node, After = after, Mark = mark }, null, cancellation);

    public static Task<RegisterResponse> RegisterAsync(GrpcChannel channel, RegisterRequest request) =>
        NodesAsync<RegisterRequest, RegisterResponse>(channel, "Register", request);

    public static Task<RenewResponse> RenewAsync(GrpcChannel channel, string node, RegisterResponse registered) => NodesAsync<RenewRequest, RenewResponse>(
        channel, "Renew", new RenewRequest { Node = node, Lease = registered.Lease, Generation = registered.Generation });

    public static Task<AcquireBlockResponse> AcquireAsync(GrpcChannel channel, string node, RegisterResponse registered, string prefix = "") =>
        NodesAsync<AcquireBlockRequest, AcquireBlockResponse>(
            channel, "AcquireBlock", new AcquireBlockRequest { Node = node, Network = "pods", Generation = registered.Generation, Prefix = prefix });

    public static async Task<WatchResponse> NextAsync(GrpcChannel channel, long after, CancellationToken deadline, string mark = "")
    {
        bool isRestored = false;
        await foreach (WatchResponse response in Watch(channel, "a", after, deadline, mark))
        {
            isRestored |= response.Restored;
            // That a backup was restored comes before what is told anew.
            if (response.Restored) continue;
            response.Restored = isRestored;
            return response;
        }
        throw new InvalidOperationException("the watch ended");
    }

    public async Task<TResponse> AdministerAsync<TRequest, TResponse>(string method, TRequest request)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        using GrpcChannel channel = GrpcChannel.ToSocket(Socket);
        return await channel.CallAsync(new GrpcMethod<TRequest, TResponse>(AdministrationService, method), request, Patience);
    }

    public Task<ChangeResponse> CreateNetworkAsync(string name, uint vni, params string[] pools) => AdministerAsync<CreateNetworkRequest, ChangeResponse>(
        "CreateNetwork", new CreateNetworkRequest { Network = new Network { Name = name, Vni = vni, Pools = { pools.Select(pool => new Pool { Prefix = pool }) } } });

    public Task<GetStateResponse> StateAsync() => AdministerAsync<GetStateRequest, GetStateResponse>("GetState", new GetStateRequest());

    /// <summary>Waits until the state is as it is to be.</summary>
    public async Task<GetStateResponse> WaitForStateAsync(Func<GetStateResponse, bool> isReached)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            GetStateResponse state = await StateAsync();
            if (isReached(state)) return state;
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, $"the state does not get there: {state}");
            await Task.Delay(50);
        }
    }

    /// <summary>Repeats a call until the controller is there.</summary>
    public static async Task<T> RetryAsync<T>(Func<Task<T>> call)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                return await call();
            }
            catch (GrpcException exception) when (exception.Status == GrpcStatusCode.Unavailable && Stopwatch.GetElapsedTime(start) < Patience)
            {
                await Task.Delay(30);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (Process process in _processes)
        {
            if (!process.HasExited) process.Kill();
            await process.WaitForExitAsync().WaitAsync(Patience);
            process.Dispose();
        }
        Directory.Delete(Folder, recursive: true);
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
