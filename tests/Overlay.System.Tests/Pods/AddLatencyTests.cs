using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;
using Xunit.Abstractions;

namespace Overlay.SystemTests.Pods;

/// <summary>
/// How long ADD takes from the start of the plugin's process to its end, beside the reference plugins <c>bridge</c> and <c>host-local</c>,
/// alternating in one run. Ours wires both families, the reference IPv4 alone.
/// </summary>
[Collection(TestOrder.Last)]
public sealed class AddLatencyTests(ITestOutputHelper output)
{
    private const int Spaces = 50;

    /// <summary>What counts as flat.</summary>
    private const double MostGrowth = 1.3;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);

    /// <summary>The long form, which the figures in the documentation come from: OVERLAY_POD_LATENCY=full.</summary>
    private static bool IsFull => Environment.GetEnvironmentVariable("OVERLAY_POD_LATENCY") == "full";

    [Fact]
    public async Task Add_OneTenFiftyAtOnce_SucceedsAndInTheLongFormTakesAtMostHalfOfTheReference()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await using var node = new PodNode(network, network.A, new TunnelOptions())
        {
            // Room for a thousand.
            Ranges = "[10.245.0.0/16, \"fd00:245::/112\"]",
            Lines = ["coolDownSeconds: 0"],
        };
        await node.StartAsync();
        DirectoryInfo folder = NetworkNamespace.CreateDirectory();
        try
        {
            var pods = new List<TestPod>();
            for (int i = 0; i < Spaces; i++) pods.Add(await node.CreatePodAsync());
            JsonObject reference = Reference(folder.FullName);
            await AllAsync(node, pods[..1], "eth0", PodNode.ConfigurationOf("1.0.0"), Repository.CniPlugin);
            await AllAsync(node, pods[..1], "ref0", reference, "/usr/lib/cni/bridge");

            foreach (int atOnce in new[] { 1, 10, 50 })
            {
                int rounds = Math.Max((IsFull ? 200 : 20) / atOnce, IsFull ? 10 : 2);
                var ours = new List<double>();
                var theirs = new List<double>();
                for (int round = 0; round < rounds; round++)
                {
                    TestPod[] some = [.. pods.Skip(round * atOnce % Spaces).Take(atOnce)];
                    ours.AddRange(await AllAsync(node, some, "eth0", PodNode.ConfigurationOf("1.0.0"), Repository.CniPlugin));
                    theirs.AddRange(await AllAsync(node, some, "ref0", reference, "/usr/lib/cni/bridge"));
                }
                Say($"{atOnce} at once", ours, theirs);
                if (IsFull) Assert.True(Quantile(ours, 0.5) <= Quantile(theirs, 0.5) / 2, $"{atOnce} at once: median {Quantile(ours, 0.5):0.0} ms, of the reference {Quantile(theirs, 0.5):0.0} ms");
            }
            if (IsFull) await FillAsync(node, pods, reference);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>
    /// The same pods, added one at a time, with few others on the node, with a thousand, and with few again, so that what a machine does meanwhile
    /// counts for neither. What the kernel takes longer for, with that many links and namespaces, the reference tells, which has no pods of its own, and
    /// the plugin's process alone.
    /// </summary>
    private async Task FillAsync(PodNode node, IReadOnlyCollection<TestPod> spaces, JsonObject reference)
    {
        const int most = 1000;
        Sample before = await SampleAsync(node, spaces, reference);
        var filled = new List<TestPod>();
        for (int i = 1; i < most; i++)
        {
            filled.Add(await node.CreatePodAsync());
            await OneAsync(node, "ADD", filled[^1], "eth0", PodNode.ConfigurationOf("1.0.0"), Repository.CniPlugin);
        }
        Sample full = await SampleAsync(node, spaces, reference);
        foreach (TestPod pod in filled)
        {
            await OneAsync(node, "DEL", pod, "eth0", PodNode.ConfigurationOf("1.0.0"), Repository.CniPlugin);
            await pod.DisposeAsync();
        }
        Sample after = await SampleAsync(node, spaces, reference);

        double growth = Growth("ADD, one after the other", each => each.Ours);
        Growth("bridge and host-local, one after the other", each => each.Theirs);
        Growth("ADD right after a DEL", each => each.OursAfterDelete);
        Growth("bridge and host-local right after a DEL", each => each.TheirsAfterDelete);
        Growth("the plugin's process alone", each => each.Process);
        Assert.True(growth <= MostGrowth, $"with a thousand pods on the node ADD takes {growth:0.00} of the time that it takes with few");

        double Growth(string what, Func<Sample, double> of)
        {
            double ratio = 2 * of(full) / (of(before) + of(after));
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{what}: median {of(before):0.00} ms with few pods on the node, {of(full):0.00} with a thousand, {of(after):0.00} with few again: {ratio:0.00} of the time"));
            return ratio;
        }
    }

    /// <summary>Medians, in milliseconds.</summary>
    /// <param name="OursAfterDelete">While the kernel still clears away what a DEL took.</param>
    private readonly record struct Sample(double Ours, double Theirs, double OursAfterDelete, double TheirsAfterDelete, double Process);

    private static async Task<Sample> SampleAsync(PodNode node, IReadOnlyCollection<TestPod> spaces, JsonObject reference)
    {
        JsonObject own = PodNode.ConfigurationOf("1.0.0");
        double ours = await MedianAsync("eth0", own, Repository.CniPlugin);
        double theirs = await MedianAsync("ref0", reference, "/usr/lib/cni/bridge");
        var afterDelete = (Ours: new List<double>(), Theirs: new List<double>());
        var process = new List<double>();
        foreach (TestPod space in spaces)
        {
            afterDelete.Ours.AddRange(await AllAsync(node, [space], "eth0", own, Repository.CniPlugin));
            afterDelete.Theirs.AddRange(await AllAsync(node, [space], "ref0", reference, "/usr/lib/cni/bridge"));
            process.Add(await OneAsync(node, "VERSION", space, "eth0", own, Repository.CniPlugin));
        }
        return new Sample(ours, theirs, Quantile(afterDelete.Ours, 0.5), Quantile(afterDelete.Theirs, 0.5), Quantile(process, 0.5));

        async Task<double> MedianAsync(string device, JsonObject configuration, string plugin)
        {
            var took = new List<double>();
            foreach (TestPod space in spaces) took.Add(await OneAsync(node, "ADD", space, device, configuration, plugin));
            foreach (TestPod space in spaces) await OneAsync(node, "DEL", space, device, configuration, plugin);
            return Quantile(took, 0.5);
        }
    }

    private void Say(string what, List<double> ours, List<double> theirs) => output.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"{what}: median {Quantile(ours, 0.5):0.0} ms, 99th percentile {Quantile(ours, 0.99):0.0} ms; bridge and host-local {Quantile(theirs, 0.5):0.0} and {Quantile(theirs, 0.99):0.0} ms; ratio {Quantile(ours, 0.5) / Quantile(theirs, 0.5):0.00} and {Quantile(ours, 0.99) / Quantile(theirs, 0.99):0.00}"));

    private static double Quantile(List<double> values, double of) => values.Order().ElementAt((int)Math.Ceiling((values.Count - 1) * of));

    /// <summary>Adds all at once, and deletes them again.</summary>
    /// <returns>Milliseconds that each ADD took.</returns>
    private static async Task<double[]> AllAsync(PodNode node, IReadOnlyCollection<TestPod> pods, string device, JsonObject configuration, string plugin)
    {
        double[] took = await Task.WhenAll(pods.Select(pod => OneAsync(node, "ADD", pod, device, configuration, plugin)));
        foreach (TestPod pod in pods) await OneAsync(node, "DEL", pod, device, configuration, plugin);
        return took;
    }

    private static Task<double> OneAsync(PodNode node, string command, TestPod pod, string device, JsonObject configuration, string plugin)
    {
        string input = configuration.ToJsonString();
        // A child starts in the namespace of the thread that starts it.
        return node.Node.Host.OpenAsync(() =>
        {
            long started = Stopwatch.GetTimestamp();
            var start = new ProcessStartInfo(plugin) { RedirectStandardInput = true, RedirectStandardOutput = true };
            start.Environment["OVERLAY_CNI_SOCKET"] = node.Socket;
            start.Environment["CNI_COMMAND"] = command;
            start.Environment["CNI_CONTAINERID"] = pod.ContainerId;
            start.Environment["CNI_NETNS"] = pod.Path;
            start.Environment["CNI_IFNAME"] = device;
            start.Environment["CNI_PATH"] = "/usr/lib/cni";
            using Process process = Process.Start(start)!;
            process.StandardInput.Write(input);
            process.StandardInput.Close();
            string printed = process.StandardOutput.ReadToEnd();
            if (!process.WaitForExit(Deadline)) throw new TimeoutException($"{plugin} {command} did not end");
            double took = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
            return process.ExitCode == 0 ? took : throw new InvalidOperationException($"{plugin} {command}: {printed}");
        });
    }

    private static JsonObject Reference(string folder) => (JsonObject)JsonNode.Parse($$"""
        {"cniVersion":"1.0.0","name":"reference","type":"bridge","bridge":"reference0","isGateway":true,
         "ipam":{"type":"host-local","dataDir":"{{folder}}","ranges":[[{"subnet":"10.66.0.0/16"}]],"routes":[{"dst":"10.66.0.0/16"}]} }
        """)!;
}
