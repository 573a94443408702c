using System.Diagnostics;
using System.Globalization;
using System.Text;
using Overlay.Rpc;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;
using Xunit.Abstractions;

namespace Overlay.SystemTests.Routes;

/// <summary>A million IPv4 and 200,000 IPv6 routes, loaded and changed while packets flow.</summary>
public sealed class ManyRoutesTests(ITestOutputHelper output)
{
    private const int RoutesV4 = 1_000_000;
    private const int RoutesV6 = 200_000;

    /// <summary>In one of the many IPv4 prefixes.</summary>
    private const string FarAddress = "20.1.2.3";

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Reload_AMillionRoutesThenOneMore_ForwardsAllTheTime()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        var tunnel = new TunnelOptions();
        await network.StartDaemonAsync(network.B, tunnel);
        await network.B.Host.IpAsync($"route add {FarAddress} via {network.B.Pod4}");
        await network.B.Pod.IpAsync($"address add {FarAddress}/32 dev lo");
        DirectoryInfo folder = NetworkNamespace.CreateDirectory();
        try
        {
            string file = Path.Combine(folder.FullName, "routes");
            await File.WriteAllTextAsync(file, "");
            DaemonConfiguration configuration = DaemonConfiguration.For(network.A, [network.B], tunnel with { SegmentLines = ["cover: [16.0.0.0/4, \"3000::/4\"]"] });
            configuration = configuration with { Text = configuration.ToYaml("SOCKET") + $"routesFile: {file}\n" };
            OverlayDaemon daemon = await network.StartDaemonAsync(network.A, configuration);
            long before = Resident(daemon);
            await using CountedDatagrams stream = await CountedDatagrams.StartAsync(network.A.Pod, network.B.Pod, network.B.Pod4);
            await stream.PassAsync(100, Deadline);

            WriteRoutes(file, "");
            var watch = Stopwatch.StartNew();
            await daemon.ReloadAsync(configuration);
            output.WriteLine($"loaded {RoutesV4 + RoutesV6} routes in {watch.Elapsed.TotalSeconds:0.00} s; resident memory {before >> 20} MiB before, {Resident(daemon) >> 20} MiB after");
            await stream.PassAsync(100, Deadline);
            Assert.Equal(RoutesV4 + RoutesV6 + 2, (await daemon.StatusAsync()).RouteCount);
            await using (CountedDatagrams far = await CountedDatagrams.StartAsync(network.A.Pod, network.B.Pod, FarAddress)) await far.PassAsync(100, Deadline);

            WriteRoutes(file, $"{FarAddress}/32 prohibit\n");
            watch.Restart();
            await daemon.ReloadAsync(configuration);
            output.WriteLine($"reloaded with one more in {watch.Elapsed.TotalSeconds:0.00} s; resident memory {Resident(daemon) >> 20} MiB");
            RouteMatch match = Assert.Single((await RouteQuery.AskAsync(daemon, FarAddress)).Matches);
            Assert.Equal((FarAddress + "/32", "drop", 1), (match.Route.Prefix, match.Way, match.Route.Line));
            await stream.PassAsync(100, Deadline);

            (int sent, IReadOnlyList<int> lost) = await stream.StopAsync();
            Assert.True(lost.Count == 0, $"lost {lost.Count} of {sent}: {string.Join(' ', lost.Take(10))}");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Reload_TensOfThousandsOfKernelRoutes_AreAllThereAndGoAgain()
    {
        const int count = 40_000;
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        DirectoryInfo folder = NetworkNamespace.CreateDirectory();
        try
        {
            string file = Path.Combine(folder.FullName, "routes");
            await File.WriteAllTextAsync(file, "");
            DaemonConfiguration configuration = DaemonConfiguration.For(network.A, [network.B], new TunnelOptions());
            configuration = configuration with { Text = configuration.ToYaml("SOCKET") + $"routesFile: {file}\n" };
            OverlayDaemon daemon = await network.StartDaemonAsync(network.A, configuration);

            await File.WriteAllLinesAsync(file, Enumerable.Range(0, count).Select(i => string.Create(
                CultureInfo.InvariantCulture, $"{(i % 4 == 0 ? $"3000:{i:x}::/32" : $"16.{i >> 8}.{i & 255}.0/24")} via {network.B.Name}")));
            var watch = Stopwatch.StartNew();
            await daemon.ReloadAsync(configuration);
            output.WriteLine($"{count} kernel routes made in {watch.Elapsed.TotalSeconds:0.00} s");
            Assert.Equal(count + 2, await KernelRoutesAsync(network.A));

            await File.WriteAllTextAsync(file, "");
            await daemon.ReloadAsync(configuration);
            Assert.Equal(2, await KernelRoutesAsync(network.A));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task<int> KernelRoutesAsync(LabNode node) => int.Parse(
        await node.Host.CheckAsync("sh", "-c", "(ip -4 route show proto 79; ip -6 route show proto 79) | wc -l"), CultureInfo.InvariantCulture);

    private static void WriteRoutes(string file, string first)
    {
        var text = new StringBuilder(64 << 20).Append(first);
        for (int i = 0; i < RoutesV4; i++) text.Append(CultureInfo.InvariantCulture, $"{16 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24 via node-b\n");
        for (int i = 0; i < RoutesV6; i++) text.Append(CultureInfo.InvariantCulture, $"3000:{i >> 8:x}:{i & 255:x}::/48 via node-b\n");
        File.WriteAllText(file, text.ToString());
    }

    private static long Resident(OverlayDaemon daemon)
    {
        string line = File.ReadLines($"/proc/{daemon.ProcessId}/status").First(each => each.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
    }
}
