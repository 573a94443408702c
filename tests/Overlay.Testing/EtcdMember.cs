using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Overlay.Testing;

/// <summary>A real etcd on loopback, with a data folder and ports of its own.</summary>
public sealed class EtcdMember : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-etcd-").FullName;
    private readonly string[] _arguments;
    private readonly string[] _restoring;
    private Process? _process;

    private EtcdMember(string name, int clientPort, int peerPort, string cluster, string? tls = null, long quotaBytes = 0)
    {
        string client = $"{(tls is null ? "http" : "https")}://127.0.0.1:{clientPort}";
        Client = new Uri(client);
        string peer = $"http://127.0.0.1:{peerPort}";
        _arguments =
        [
            "--name", name, "--data-dir", Data, "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster, "--log-level", "error",
            "--heartbeat-interval", "100", "--election-timeout", "1000",
            "--quota-backend-bytes", $"{quotaBytes}",
            .. tls is null ? (string[])[] : ["--cert-file", $"{tls}/server.pem", "--key-file", $"{tls}/server.key", "--trusted-ca-file", $"{tls}/ca.pem", "--client-cert-auth"],
        ];
        _restoring = ["--name", name, "--data-dir", Data, "--initial-cluster", cluster, "--initial-advertise-peer-urls", peer];
    }

    public Uri Client { get; }

    private string Data => Path.Combine(_folder, "data");

    /// <summary>Members of one cluster, which have a leader.</summary>
    /// <param name="quotaBytes">Space that each has; 0: etcd's default.</param>
    public static async Task<EtcdMember[]> StartAsync(int count, long quotaBytes = 0)
    {
        int[] ports = FreePorts(2 * count);
        string cluster = string.Join(',', Enumerable.Range(0, count).Select(i => $"m{i}=http://127.0.0.1:{ports[2 * i]}"));
        EtcdMember[] members = [.. Enumerable.Range(0, count).Select(i => new EtcdMember($"m{i}", ports[(2 * i) + 1], ports[2 * i], cluster, quotaBytes: quotaBytes))];
        foreach (EtcdMember member in members) member.Start();
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        foreach (EtcdMember member in members) await WaitForLeaderAsync(http, member);
        return members;
    }

    /// <summary>One member that serves only clients which show a certificate; whether it is up yet is theirs to find out.</summary>
    /// <param name="folder">Holds <c>ca.pem</c>, <c>server.pem</c> and <c>server.key</c>.</param>
    public static EtcdMember StartWithTls(string folder)
    {
        int[] ports = FreePorts(2);
        var member = new EtcdMember("m0", ports[1], ports[0], $"m0=http://127.0.0.1:{ports[0]}", folder);
        member.Start();
        return member;
    }

    /// <summary>The member that leads; all of them run.</summary>
    public static async Task<EtcdMember> LeaderAsync(EtcdMember[] members, CancellationToken deadline)
    {
        while (true)
        {
            foreach (EtcdMember member in members)
            {
                if (await member.IsLeaderAsync()) return member;
            }
            await Task.Delay(50, deadline);
        }
    }

    /// <summary>Uses up a member's space, under keys of nobody's, until it takes no more.</summary>
    public void Fill()
    {
        string value = new('x', 60_000);
        for (int i = 0; Control("put", $"filling/{i}", value).ExitCode == 0; i++)
        {
        }
    }

    /// <summary>Does what an administrator does whose member has no space left, having deleted what filled it.</summary>
    public void MakeRoom()
    {
        Check("del", "--prefix", "filling/");
        using var answer = System.Text.Json.JsonDocument.Parse(Check("get", "filling/", "-w", "json").Output);
        Check("compact", $"{answer.RootElement.GetProperty("header").GetProperty("revision").GetInt64()}");
        Check("defrag");
        Check("alarm", "disarm");

        ProgramRun Check(params string[] arguments) =>
            Control(arguments) is { ExitCode: 0 } done ? done : throw new InvalidOperationException($"etcdctl {string.Join(' ', arguments)} failed");
    }

    /// <summary>Puts a snapshot in the place of what a member has that does not run.</summary>
    public void Restore(string snapshot)
    {
        Directory.Delete(Data, recursive: true);
        ProgramRun.Check("etcdctl", ["snapshot", "restore", snapshot, .. _restoring]);
    }

    /// <summary>Whether it leads its cluster.</summary>
    public async Task<bool> IsLeaderAsync()
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        using var answer = System.Text.Json.JsonDocument.Parse(await PostAsync(http, "v3/maintenance/status"));
        return answer.RootElement.GetProperty("leader").GetString()
            == answer.RootElement.GetProperty("header").GetProperty("member_id").GetString();
    }

    public void Start() => _process = Process.Start(new ProcessStartInfo("etcd", _arguments)
    {
        RedirectStandardError = true,
        RedirectStandardOutput = true,
    });

    public void Kill()
    {
        _process?.Kill();
        _process?.WaitForExit();
        _process?.Dispose();
        _process = null;
    }

    public void Dispose()
    {
        Kill();
        Directory.Delete(_folder, true);
    }

    private ProgramRun Control(params string[] arguments) => ProgramRun.Start("etcdctl", ["--endpoints", Client.OriginalString, .. arguments]);

    private static async Task WaitForLeaderAsync(HttpClient http, EtcdMember member)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                await member.PostAsync(http, "v3/kv/range");
                return;
            }
            catch (Exception error) when (error is HttpRequestException or TaskCanceledException)
            {
                if (waited.Elapsed > Deadline) throw new TimeoutException($"etcd at {member.Client} has no leader after {Deadline}", error);
                await Task.Delay(50);
            }
        }
    }

    private async Task<string> PostAsync(HttpClient http, string path)
    {
        using HttpResponseMessage answer = await http.PostAsync(new Uri(Client, path), new StringContent("{\"key\":\"eA==\"}"));
        return await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync();
    }

    private static int[] FreePorts(int count)
    {
        TcpListener[] listeners = [.. Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0))];
        foreach (TcpListener listener in listeners) listener.Start();
        int[] ports = [.. listeners.Select(listener => ((IPEndPoint)listener.LocalEndpoint).Port)];
        foreach (TcpListener listener in listeners) listener.Dispose();
        return ports;
    }
}
