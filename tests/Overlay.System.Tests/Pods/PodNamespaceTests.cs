using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Pods;

/// <summary>Containers that end while they are wired, and paths that do not lead straight to their namespaces.</summary>
public sealed class PodNamespaceTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private LabNetwork _network = null!;
    private PodNode _node = null!;

    public async Task InitializeAsync()
    {
        _network = await LabNetwork.CreateAsync(new LabOptions());
        _node = PodNode.WithSixAddresses(_network);
        await _node.StartAsync();
    }

    public async Task DisposeAsync()
    {
        await _node.DisposeAsync();
        await _network.DisposeAsync();
    }

    [Fact]
    public async Task Add_NamespaceThatGoesAfterAnyStep_SaysThatTheContainerIsGoneAndLeavesNothing()
    {
        int stopped = 0;
        for (int step = 1; ; step++)
        {
            TestPod pod = await _node.CreatePodAsync($"step-{step}");
            using RunningProcess strace = RunningProcess.Start(
                "strace", ["-p", $"{_node.PodsThread}", "-o", "/dev/null", "-e", "trace=sendto", "-e", $"inject=sendto:signal=STOP:when={step}"]);
            await strace.WaitForTextAsync("attached", Deadline);
            using RunningProcess adding = _node.StartCall("ADD", PodNode.ConfigurationOf("1.1.0"), pod.ContainerId, pod.Path, "eth0");
            await Eventually.TrueAsync(() => Task.FromResult(adding.HasExited || IsStopped()), Deadline, $"the end of ADD, or of its step {step}");
            if (!adding.HasExited) await pod.DisposeAsync();
            strace.Signal(Libc.SignalTerminate);
            await strace.WaitForExitAsync(Deadline);
            Libc.Signal(_node.Daemon.ProcessId, Libc.SignalContinue);

            var outcome = new CniOutcome(await adding.WaitForExitAsync(Deadline), adding.Output);
            if (outcome.ExitCode == 0)
            {
                // What stopped the daemon, if anything, came behind all of them.
                Assert.Equal(0, (await _node.DeleteAsync(pod)).Code);
                break;
            }
            Assert.Equal(3, outcome.Code);
            Assert.Contains(pod.ContainerId, outcome.Message, StringComparison.Ordinal);
            Assert.Contains(pod.Path, outcome.Message, StringComparison.Ordinal);
            await _node.AssertNothingLeftAsync();
            await _node.AssertAddressesAreSoundAsync(0, 0);
            stopped++;
        }
        Assert.True(stopped >= 6, $"only {stopped} steps");
        await _node.AssertAllSixAddressesAreFreeAsync();
    }

    [Fact]
    public async Task Add_PathOfSymbolicLinks_IsTheNamespaceThatTheyLeadTo()
    {
        TestPod pod = await _node.CreatePodAsync();
        string folder = Link("netns", "/run/netns");
        string path = Path.Combine(folder, Path.GetFileName(pod.Path));

        CniOutcome added = await CallAsync("ADD", path);
        Assert.True(added.ExitCode == 0, added.Output);
        Assert.Equal(path, (string)added.Json["interfaces"]![1]!["sandbox"]!);
        Assert.Equal(101, (await CallAsync("ADD", pod.Path)).Code);
        JsonObject checking = PodNode.ConfigurationOf("1.1.0");
        checking["prevResult"] = added.Json.DeepClone();
        Assert.Equal(0, (await _node.CallAsync("CHECK", checking, pod.ContainerId, pod.Path, "eth0")).Code);
        await _node.AssertAddressesAreSoundAsync(1, 2);
        Assert.Equal(0, (await CallAsync("DEL", pod.Path)).Code);
        await _node.AssertNothingLeftAsync();

        foreach ((string link, int code) in new[]
        {
            (Link("home", $"/run/netns/{_node.Node.Host.Name}"), 4), (Link("self", "/proc/self/ns/net"), 4), (Link("nowhere", "/run/netns/absent"), 3),
            (Link("round", Path.Combine(_node.State, "round")), 4), (Link("file", "/etc/hostname"), 3),
        })
        {
            CniOutcome refused = await CallAsync("ADD", link);
            Assert.Equal((link, code), (link, refused.Code));
            Assert.Contains(link, refused.Message, StringComparison.Ordinal);
        }
        await _node.AssertNothingLeftAsync();

        Task<CniOutcome> CallAsync(string command, string given) => _node.CallAsync(command, PodNode.ConfigurationOf("1.1.0"), pod.ContainerId, given, "eth0");
    }

    private string Link(string name, string target) => File.CreateSymbolicLink(Path.Combine(_node.State, name), target).FullName;

    /// <summary>The state of proc(5) stat, behind the command's name.</summary>
    private bool IsStopped()
    {
        string stat = File.ReadAllText($"/proc/{_node.Daemon.ProcessId}/stat");
        return stat[stat.LastIndexOf(')') + 2] == 'T';
    }
}
