using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Xunit.Abstractions;

namespace Overlay.SystemTests.Pods;

/// <summary>Pods that come and go while daemon, plugin and runtime are killed at any moment: nothing leaks, and nobody loses what he has.</summary>
public sealed class PodCycleTests(ITestOutputHelper output)
{
    private const int MostLiving = 3;

    /// <summary>Longer than any call takes, so that some end before they are killed.</summary>
    private const int MostMilliseconds = 12;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private enum Accident
    {
        /// <summary>The daemon is killed while it adds.</summary>
        DaemonAdding,

        /// <summary>The daemon is killed while it deletes.</summary>
        DaemonDeleting,

        /// <summary>The runtime is killed while it adds, and deletes when it is back.</summary>
        RuntimeAdding,

        /// <summary>The runtime is killed while it adds, the container ends, and nobody deletes.</summary>
        RuntimeGone,
    }

    /// <summary>The long form: OVERLAY_POD_CYCLES=1000.</summary>
    private static int Cycles =>
        int.TryParse(Environment.GetEnvironmentVariable("OVERLAY_POD_CYCLES"), CultureInfo.InvariantCulture, out int cycles) ? cycles : 60;

    [Fact]
    public async Task Cycles_WithRandomKills_LeakNothing()
    {
        int seed = Environment.TickCount;
        var random = new Random(seed);
        long started = Stopwatch.GetTimestamp();
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await using PodNode node = PodNode.WithSixAddresses(network);
        await node.StartAsync();
        string before = await StateAsync(node);
        int namespaces = NamespacesHeldBy(node.Daemon);
        var living = new Dictionary<TestPod, string[]>();
        var accidents = new Dictionary<Accident, int>();
        for (int cycle = 0; cycle < Cycles; cycle++)
        {
            Accident? accident = random.Next(10) is var number && Enum.IsDefined((Accident)number) ? (Accident)number : null;
            if (accident is { } happens) accidents[happens] = accidents.GetValueOrDefault(happens) + 1;
            await CycleAsync(node, living, accident, random);
            // What ended without DEL is one until it is freed.
            string[] contradictions = [.. (await ContradictionsAsync(node)).Where(each => !each.EndsWith("has ended and was not deleted", StringComparison.Ordinal))];
            Assert.True(contradictions.Length == 0, $"seed {seed}, cycle {cycle}, {accident}: {string.Join("; ", contradictions)}");
        }
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"seed {seed}: {Cycles} cycles in {Stopwatch.GetElapsedTime(started).TotalSeconds:0} s, with {string.Join(", ", accidents.OrderBy(each => each.Key).Select(each => $"{each.Value} x {each.Key}"))}"));

        var held = new PodsDocument([]);
        await Eventually.TrueAsync(async () => (held = await PodsAsync(node)).Pods.Count == living.Count, Deadline, "what ended without DEL is freed");
        Assert.Equal(
            living.Select(each => $"{each.Key.ContainerId} {string.Join(' ', each.Value)}").Order(),
            held.Pods.Select(pod => $"{pod.ContainerId} {string.Join(' ', pod.Addresses.Select(address => address.Split('/')[0]))}").Order());
        await node.AssertAddressesAreSoundAsync(living.Count, 2 * living.Count);
        foreach (TestPod pod in living.Keys) await EndAsync(node, pod);
        await node.AssertNothingLeftAsync();
        await node.AssertAddressesAreSoundAsync(0, 0);
        Assert.Equal(before, await StateAsync(node));
        Assert.Equal(namespaces, NamespacesHeldBy(node.Daemon));
        await node.AssertAllSixAddressesAreFreeAsync();
    }

    private static async Task CycleAsync(PodNode node, Dictionary<TestPod, string[]> living, Accident? accident, Random random)
    {
        TestPod pod = await node.CreatePodAsync();
        using RunningProcess adding = node.StartCall("ADD", PodNode.ConfigurationOf("1.1.0"), pod.ContainerId, pod.Path, "eth0");
        if (accident is Accident.DaemonAdding) await KillDaemonAsync(node, random);
        if (accident is Accident.RuntimeAdding or Accident.RuntimeGone)
        {
            await Task.Delay(random.Next(MostMilliseconds));
            KillIfRunning(adding);
        }
        var added = new CniOutcome(await adding.WaitForExitAsync(Deadline), adding.Output);
        if (accident is Accident.DaemonAdding) await RestartAsync(node);

        if (accident is Accident.RuntimeGone) await pod.DisposeAsync();
        // What failed the runtime deletes at once.
        else if (added.ExitCode != 0 || accident is Accident.RuntimeAdding) await EndAsync(node, pod);
        else living[pod] = added.Addresses;
        if (living.Count <= MostLiving) return;

        TestPod leaving = living.Keys.ElementAt(random.Next(living.Count));
        living.Remove(leaving);
        if (accident is not Accident.DaemonDeleting)
        {
            await EndAsync(node, leaving, withNamespace: random.Next(2) == 0);
            return;
        }
        using RunningProcess deleting = node.StartCall("DEL", PodNode.ConfigurationOf("1.1.0"), leaving.ContainerId, leaving.Path, "eth0");
        await KillDaemonAsync(node, random);
        Assert.Equal(0, await deleting.WaitForExitAsync(Deadline));
        await leaving.DisposeAsync();
        await RestartAsync(node);
    }

    private static void KillIfRunning(RunningProcess process)
    {
        try
        {
            process.Signal(Libc.SignalKill);
        }
        catch (Win32Exception)
        {
            // It was faster.
        }
    }

    private static async Task KillDaemonAsync(PodNode node, Random random)
    {
        await Task.Delay(random.Next(MostMilliseconds));
        await node.Daemon.KillAsync();
    }

    private static async Task RestartAsync(PodNode node)
    {
        await node.Daemon.DisposeAsync();
        await node.StartAsync();
    }

    private static async Task EndAsync(PodNode node, TestPod pod, bool withNamespace = true)
    {
        CniOutcome deleted = await node.DeleteAsync(pod, withNamespace: withNamespace);
        Assert.True(deleted.ExitCode == 0, deleted.Output);
        await pod.DisposeAsync();
    }

    /// <summary>Interfaces, routes, neighbours, rules and what nftables has, for comparison; without what each start of the daemon numbers anew.</summary>
    private static Task<string> StateAsync(PodNode node) => node.Node.Host.CheckAsync(
        "sh", "-c",
        "{ ip -o link | awk '{ print $2 }'; ip route show table all; ip -6 route show table all | sed 's/ expires.*//'; ip neighbour show nud permanent; ip rule; ip -6 rule; } | grep -v ovl4789 | sort; nft -s list ruleset");

    /// <summary>What <c>overlay ipam check</c> would say, without a process for each question.</summary>
    private static async Task<IReadOnlyList<string>> ContradictionsAsync(PodNode node)
    {
        using var http = new HttpClient(Rpc.Hosting.UnixSocketHttp.CreateHandler(node.Daemon.Socket)) { BaseAddress = new Uri("http://localhost"), Timeout = Deadline };
        using HttpResponseMessage answer = await http.GetAsync(new Uri(LocalApi.AddressCheckPath, UriKind.Relative));
        string text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.IsSuccessStatusCode, text);
        return JsonSerializer.Deserialize(text, StatusJson.Default.AddressCheckDocument)!.Problems;
    }

    private static int NamespacesHeldBy(OverlayDaemon daemon) =>
        Directory.GetFiles($"/proc/{daemon.ProcessId}/fd").Count(file => new FileInfo(file).LinkTarget?.StartsWith("net:", StringComparison.Ordinal) == true);

    private static async Task<PodsDocument> PodsAsync(PodNode node) => JsonSerializer.Deserialize(
        await Command.CheckAsync(Deadline, null, Repository.Client, "pods", "--json", "--socket", node.Daemon.Socket), StatusJson.Default.PodsDocument)!;
}
