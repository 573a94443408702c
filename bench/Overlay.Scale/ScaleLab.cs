using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Google.Protobuf.Reflection;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Security;

namespace Overlay.Scale;

/// <summary>
/// Real controllers, and nodes that talk to them as overlayd does, each by its own connection, certificate and journal. Only what a
/// node keeps is in memory instead of on a disk of its own, where there are many.
/// </summary>
/// <param name="etcd">Whether the store is an etcd with one member, and not SQLite.</param>
/// <param name="controllers">On one store; nodes spread over them by their names.</param>
/// <param name="onDisk">Whether nodes keep what they keep on the disk that the store is on too.</param>
internal sealed class ScaleLab(string controller, int nodes, bool etcd, int controllers, bool onDisk = false) : IAsyncDisposable
{
    public const int AddressesEach = 110;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private static readonly ServiceDescriptor Administration = ControlReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Administration");

    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-scale-").FullName;
    private readonly string _memory = Directory.CreateDirectory($"/dev/shm/ovt-scale-{Environment.ProcessId}-{nodes}").FullName;
    private readonly List<ScaleNode> _nodes = [];
    private readonly List<Process> _processes = [];
    private Process? _etcd;

    /// <summary>The kind of file system on which nodes keep what they keep.</summary>
    public string KeptOn => new DriveInfo(Kept).DriveFormat;

    private string Kept => onDisk ? _folder : _memory;

    public async Task StartAsync()
    {
        IssuedCertificate authority = CertificateAuthority.Create("scale", DateTimeOffset.UtcNow, TimeSpan.FromDays(1));
        await File.WriteAllTextAsync($"{_memory}/ca.pem", authority.CertificatePem).ConfigureAwait(false);
        using var signer = CertificateAuthority.Open(authority.CertificatePem, authority.KeyPem);
        Issue(signer, "controller", new CertificateIdentity(CertificateRole.Controller, "controller"), ["127.0.0.1"]);
        int etcdPort = FreePort();
        if (etcd) _etcd = EtcdProcess.Start(_folder, etcdPort, FreePort());
        string store = etcd ? $"{{ kind: etcd, endpoints: [http://127.0.0.1:{etcdPort.ToString(CultureInfo.InvariantCulture)}] }}" : $"{{ kind: sqlite, file: {_folder}/control.db }}";
        int[] ports = [.. Enumerable.Range(0, controllers).Select(_ => FreePort())];
        for (int i = 0; i < controllers; i++)
        {
            string file = string.Create(CultureInfo.InvariantCulture, $"{_folder}/controller-{i}.yaml");
            await File.WriteAllTextAsync(
                file,
                $$"""
                store: {{store}}
                listen: 127.0.0.1:{{ports[i].ToString(CultureInfo.InvariantCulture)}}
                socket: {{_folder}}/controller-{{i.ToString(CultureInfo.InvariantCulture)}}.sock
                tls: { certificate: {{_memory}}/controller.pem, key: {{_memory}}/controller.key, authority: {{_memory}}/ca.pem }
                """).ConfigureAwait(false);
            Process process = Process.Start(new ProcessStartInfo(controller, ["--config", file]) { RedirectStandardError = true })!;
            _ = Task.Run(() => process.StandardError.ReadToEndAsync());
            _processes.Add(process);
        }
        var network = new CreateNetworkRequest { Network = new Network { Name = "pods", Vni = 42, Pools = { new Pool { Prefix = "10.0.0.0/12" } } } };
        await RetryAsync(() => AdministerAsync<CreateNetworkRequest, ChangeResponse>("CreateNetwork", network)).ConfigureAwait(false);
        for (int i = 1; i < controllers; i++)
        {
            int another = i;
            await RetryAsync(() => AdministerAsync<CheckRequest, CheckResponse>("Check", new CheckRequest(), another)).ConfigureAwait(false);
        }
        for (int i = 0; i < nodes; i++)
        {
            string name = string.Create(CultureInfo.InvariantCulture, $"node-{i}");
            Issue(signer, name, new CertificateIdentity(CertificateRole.Node, name), []);
            _nodes.Add(new ScaleNode(name, i, ports, _memory, Kept));
        }
    }

    /// <summary>Ends when each node has its addresses and knows of every other node.</summary>
    public async Task JoinAsync()
    {
        using var deadline = new CancellationTokenSource(Patience);
        await Task.WhenAll(_nodes.Select(node => node.JoinAsync(AddressesEach, deadline.Token))).ConfigureAwait(false);
        long revision = await RevisionAsync().ConfigureAwait(false);
        await Task.WhenAll(_nodes.Select(node => node.WaitForAsync(revision, deadline.Token))).ConfigureAwait(false);
    }

    /// <summary>Ends when the nodes have leased the blocks that they keep ahead of need.</summary>
    public async Task SettleAsync()
    {
        long before = -1;
        for (long now = await RevisionAsync().ConfigureAwait(false); now != before; now = await RevisionAsync().ConfigureAwait(false))
        {
            before = now;
            await Task.Delay(TimeSpan.FromSeconds(2)).ConfigureAwait(false);
        }
    }

    /// <summary>Changes something.</summary>
    /// <returns>Milliseconds until each node knew of it.</returns>
    public async Task<IReadOnlyList<double>> ChangeAsync(int number)
    {
        using var deadline = new CancellationTokenSource(Patience);
        string address = string.Create(CultureInfo.InvariantCulture, $"10.15.255.{number + 1}");
        long start = Stopwatch.GetTimestamp();
        ChangeResponse made = await AdministerAsync<ReserveRequest, ChangeResponse>("Reserve", new ReserveRequest { Address = address, Owner = "scale" }).ConfigureAwait(false);
        long[] times = await Task.WhenAll(_nodes.Select(node => node.WaitForAsync(made.Revision, deadline.Token))).ConfigureAwait(false);
        return [.. times.Select(time => Stopwatch.GetElapsedTime(start, time).TotalMilliseconds)];
    }

    /// <summary>Has the first node hand out addresses at a rate a second, each held for five seconds.</summary>
    /// <returns>How long each took, how many were refused, and how many blocks the node has in the end.</returns>
    public Task<(List<double> Milliseconds, int Refused, int Blocks)> ChurnAsync(double rate, TimeSpan duration) =>
        Task.Factory.StartNew(() => _nodes[0].Churn(rate, duration), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    public (int All, int Distinct) CountAddresses()
    {
        IPAddress[] addresses = [.. _nodes.SelectMany(node => node.Addresses)];
        return (addresses.Length, addresses.Distinct().Count());
    }

    /// <summary>Seconds of CPU that the controllers have used.</summary>
    public double ControllerCpu() => _processes.Sum(process => Use(process).Cpu);

    /// <summary>Memory of each controller.</summary>
    public double ControllerMegabytes() => _processes.Average(process => Use(process).Megabytes);

    /// <summary>Memory in megabytes and seconds of CPU of etcd; null: there is none.</summary>
    public (double Megabytes, double Cpu)? EtcdUse() => _etcd is null ? null : Use(_etcd);

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_nodes.Select(node => node.DisposeAsync().AsTask())).ConfigureAwait(false);
        if (_etcd is not null) _processes.Add(_etcd);
        foreach (Process process in _processes)
        {
            process.Kill();
            await process.WaitForExitAsync().ConfigureAwait(false);
            process.Dispose();
        }
        Directory.Delete(_folder, recursive: true);
        Directory.Delete(_memory, recursive: true);
    }

    private static (double Megabytes, double Cpu) Use(Process process)
    {
        process.Refresh();
        return (process.WorkingSet64 / 1048576.0, process.TotalProcessorTime.TotalSeconds);
    }

    private async Task<long> RevisionAsync() =>
        (await AdministerAsync<ShowPoolsRequest, ShowPoolsResponse>("ShowPools", new ShowPoolsRequest()).ConfigureAwait(false)).Revision;

    private static async Task RetryAsync(Func<Task> call)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                await call().ConfigureAwait(false);
                return;
            }
            catch (GrpcException exception) when (exception.Status == GrpcStatusCode.Unavailable && Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(60))
            {
                await Task.Delay(50).ConfigureAwait(false);
            }
        }
    }

    private async Task<TResponse> AdministerAsync<TRequest, TResponse>(string method, TRequest request, int at = 0)
        where TRequest : class, Google.Protobuf.IMessage<TRequest>, new()
        where TResponse : class, Google.Protobuf.IMessage<TResponse>, new()
    {
        using GrpcChannel channel = GrpcChannel.ToSocket(string.Create(CultureInfo.InvariantCulture, $"{_folder}/controller-{at}.sock"));
        return await channel.CallAsync(new GrpcMethod<TRequest, TResponse>(Administration, method), request, TimeSpan.FromSeconds(30)).ConfigureAwait(false);
    }

    private void Issue(CertificateAuthority signer, string file, CertificateIdentity identity, string[] hosts)
    {
        IssuedCertificate made = signer.Issue(identity, hosts, DateTimeOffset.UtcNow, TimeSpan.FromHours(6));
        File.WriteAllText($"{_memory}/{file}.pem", made.CertificatePem);
        File.WriteAllText($"{_memory}/{file}.key", made.KeyPem);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
