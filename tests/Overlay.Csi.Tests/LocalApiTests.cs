using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Overlay.Csi.Protos;
using Overlay.Rpc;
using Overlay.Testing;

namespace Overlay.Csi.Tests;

/// <summary>What the driver tells others than the orchestrator.</summary>
public sealed class LocalApiTests
{
    private const string Uid = "0d1c2b3a-0000-4000-8000-123456789abc";

    [Fact]
    public async Task Volumes_OfTheNode_AreListedWithTheirPods()
    {
        await using DriverProcess driver = await DriverProcess.StartAsync();
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await driver.CreateIdAsync(Calls.Request("pvc-1", capability, 32));
        string target = $"{driver.Folder}/pods/{Uid}/volumes/kubernetes.io~csi/pvc-1/mount";
        await driver.StageAsync(volume, capability);
        await driver.PublishAsync(
            volume, target, capability, context: new Dictionary<string, string> { ["csi.storage.k8s.io/pod.name"] = "web-0", ["csi.storage.k8s.io/pod.namespace"] = "shop" });
        Snapshot snapshot = await driver.SnapshotAsync("snap", volume);

        string program = Path.Combine(AppContext.BaseDirectory, "overlay");
        VolumesDocument document = JsonSerializer.Deserialize(
            ProgramRun.Check(program, "volumes", "--json", "--socket", driver.Api, "--agent", $"{driver.Folder}/none.sock").Output, StatusJson.Default.VolumesDocument)!;
        VolumeStatus status = document.Volumes.Single();
        Assert.Equal((DriverProcess.Node, volume, "pvc-1", "ext4", 32 * Calls.MiB), (document.Node, status.Id, status.Name, status.Kind, status.CapacityBytes));
        Assert.Equal([new VolumeUser("shop/web-0", Uid, target, false)], status.Users);
        Assert.Equal([snapshot.SnapshotId], status.Snapshots);
        Assert.Null(status.Abnormal);
        Assert.Matches("pvc-1 +images +ext4 +32.0 MiB .* 1 +shop/web-0 +sound", ProgramRun.Check(program, "volumes", "--socket", driver.Api, "--agent", $"{driver.Folder}/none.sock").Output);
        // head(1) ends it, as whoever watches does.
        ProgramRun watched = ProgramRun.Start("sh", "-c", $"timeout 60 '{program}' volumes --watch 0.1 --socket '{driver.Api}' --agent '{driver.Folder}/none.sock' | grep -m 3 pvc-1");
        Assert.Equal(3, watched.Lines.Length);
        Assert.All(watched.Lines, line => Assert.Matches("^  pvc-1 +images +ext4 +32.0 MiB ", line));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(driver.Api));
        Assert.Contains("start overlay-csi", ProgramRun.Start(program, "volumes", "--socket", $"{driver.Folder}/none.sock").Errors, StringComparison.Ordinal);

        await driver.UnpublishAsync(volume, target);
        await driver.UnstageAsync(volume);
        using var http = new HttpClient(Rpc.Hosting.UnixSocketHttp.CreateHandler(driver.Api)) { BaseAddress = new Uri("http://localhost"), Timeout = DriverProcess.Patience };
        string metrics = await http.GetStringAsync(new Uri(LocalApi.MetricsPath, UriKind.Relative));
        Assert.Contains("\noverlay_csi_duration_seconds_count{method=\"NodeStageVolume\",code=\"0\"} ", metrics, StringComparison.Ordinal);
        Assert.Contains("\noverlay_csi_volumes 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("\noverlay_csi_pool_available_bytes{pool=\"images\"} ", metrics, StringComparison.Ordinal);
        Assert.Equal("", ProgramRun.StartReading(Encoding.UTF8.GetBytes(metrics), "promtool", "check", "metrics").Errors);
    }

    [Fact]
    public async Task Volumes_OfPodsThatTheKubeletDidNotName_AreNamedByTheAgent()
    {
        await using DriverProcess driver = await DriverProcess.StartAsync();
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await driver.CreateIdAsync(Calls.Request("pvc-2", capability, 32));
        string target = $"{driver.Folder}/pods/{Uid}/volumes/kubernetes.io~csi/pvc-2/mount", agent = $"{driver.Folder}/overlayd.sock";
        await driver.StageAsync(volume, capability);
        await driver.PublishAsync(volume, target, capability);
        string program = Path.Combine(AppContext.BaseDirectory, "overlay");

        ProgramRun alone = ProgramRun.Start(program, "volumes", "--socket", driver.Api, "--agent", agent);
        Assert.Equal(0, alone.ExitCode);
        Assert.Contains(Uid, alone.Output, StringComparison.Ordinal);
        Assert.Contains("overlay: pods are without names: there is no socket", alone.Errors, StringComparison.Ordinal);

        var pod = new PodStatus(
            "shop", "db-0", Uid, DriverProcess.Node, ["10.244.1.7/24", "fd00::7/64"], "eth0", "ovl1", "02:00:00:00:00:07", 1400, "pods", "c0ffee", "pods/c0ffee/eth0", "/run/netns/x", "ready", DateTimeOffset.UnixEpoch);
        using (Socket listener = Listen(agent))
        {
            string pods = JsonSerializer.Serialize(new PodsDocument([pod, pod with { Uid = "another" }]), StatusJson.Default.PodsDocument);
            Task answers = AnswerAsync(listener, pods, pods);
            Assert.Matches(@"pvc-2 .* shop/db-0 \[10\.244\.1\.7/24 fd00::7/64\] +sound", await Task.Run(() => ProgramRun.Check(program, "volumes", "--socket", driver.Api, "--agent", agent).Output));
            VolumesDocument document = JsonSerializer.Deserialize(
                await Task.Run(() => ProgramRun.Check(program, "volumes", "--json", "--socket", driver.Api, "--agent", agent).Output), StatusJson.Default.VolumesDocument)!;
            VolumeUser user = document.Volumes.Single().Users.Single();
            Assert.Equal(("shop/db-0", Uid, target), (user.Pod, user.PodUid, user.Target));
            Assert.Equal(pod.Addresses, user.Addresses);
            await answers.WaitAsync(DriverProcess.Patience);
        }
        await driver.UnpublishAsync(volume, target);
        await driver.UnstageAsync(volume);
    }

    [Fact]
    public async Task Health_OfADriverThatServes_IsOkAndTellsOfNoVolume()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        int port = ((IPEndPoint)probe.LocalEndpoint).Port;
        probe.Stop();
        await using DriverProcess driver = await DriverProcess.StartAsync(driver => driver.More.AddRange(["--health", $"127.0.0.1:{port}"]));
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}"), Timeout = DriverProcess.Patience };

        Assert.Equal("ok", await http.GetStringAsync(new Uri("/healthz", UriKind.Relative)));
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync(new Uri(LocalApi.VolumesPath, UriKind.Relative))).StatusCode);
    }

    [Fact]
    public async Task NodeName_WhereNoneIsGiven_IsThatOfTheAgent()
    {
        await using var driver = new DriverProcess();
        string socket = $"{driver.Folder}/overlayd.sock";
        using Socket agent = Listen(socket);
        // What is no status is asked for again.
        Task answer = AnswerAsync(agent, ["no JSON", "{}", "{\"node\": \"agents-node\"}"]);
        driver.NodeOptions = ["--agent", socket];
        await driver.RunAsync();
        await answer.WaitAsync(DriverProcess.Patience);

        NodeGetInfoResponse info = await driver.CallAsync<NodeGetInfoRequest, NodeGetInfoResponse>("Node", "NodeGetInfo", new NodeGetInfoRequest());
        Assert.Equal(("agents-node", 256), (info.NodeId, info.MaxVolumesPerNode));
        Assert.Equal("agents-node", info.AccessibleTopology.Segments.Values.Single());
    }

    [Fact]
    public async Task Driver_WithOptionsThatCannotBe_NamesEachAndEndsWith2()
    {
        await using var driver = new DriverProcess();
        ProgramRun run = driver.Run(
            Path.Combine(AppContext.BaseDirectory, "overlay-csi"), "--endpoint", $"unix://{driver.Socket}", "--node-id", "-bad", "--state", "relative",
            "--pool", "small=image:/tmp/x.img,1Mi", "--allow", "floppy:/dev/fd0", "--health", "nowhere", "--tool-timeout", "0");

        Assert.Equal(2, run.ExitCode);
        Assert.All(
            new[] { "--pool 'small=image:/tmp/x.img,1Mi': '1Mi' is no size of at least 300Mi", "--allow 'floppy:/dev/fd0'", "--health 'nowhere'", "--tool-timeout '0'", "--state 'relative'" },
            problem => Assert.Contains(problem, run.Errors, StringComparison.Ordinal));
    }

    private static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen();
        return socket;
    }

    private static Task AnswerAsync(Socket listener, params string[] bodies) => Task.Run(async () =>
    {
        foreach (string body in bodies)
        {
            using Socket client = await listener.AcceptAsync();
            await client.ReceiveAsync(new byte[4096]);
            await client.SendAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\nConnection: close\r\n\r\n{body}"));
        }
    });
}
