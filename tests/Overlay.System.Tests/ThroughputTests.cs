using System.Globalization;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;
using Xunit.Abstractions;

namespace Overlay.SystemTests;

/// <summary>The one gate on speed. In a collection of its own, which runs last.</summary>
[Collection(TestOrder.Last)]
public sealed class ThroughputTests(ITestOutputHelper output)
{
    private const int Rounds = 5;
    private const int SecondsPerRound = 3;
    private const double LeastRatio = 0.5;

    [Fact]
    [Trait("Category", "Throughput")]
    public async Task Tcp_OneStreamOnTheWire_IsAtLeastHalfOfKernelVxlan()
    {
        await using LabNetwork ours = await LabNetwork.CreateAsync(new LabOptions());
        var tunnel = new TunnelOptions();
        await ours.StartDaemonAsync(ours.A, tunnel);
        await ours.StartDaemonAsync(ours.B, tunnel);
        await using LabNetwork kernel = await LabNetwork.CreateAsync(new LabOptions());
        await kernel.StartKernelVxlanAsync(kernel.A, tunnel);
        await kernel.StartKernelVxlanAsync(kernel.B, tunnel);
        var rates = new List<double>();
        var kernelRates = new List<double>();

        for (int round = 0; round < Rounds; round++)
        {
            rates.Add(await Iperf.TcpAsync(ours.A.Pod, ours.B.Pod, ours.B.Pod4, SecondsPerRound));
            kernelRates.Add(await Iperf.TcpAsync(kernel.A.Pod, kernel.B.Pod, kernel.B.Pod4, SecondsPerRound));
        }
        double ratio = Median(rates) / Median(kernelRates);

        string figures = string.Create(
            CultureInfo.InvariantCulture,
            $"{Median(rates) / 1e9:F2} Gb/s, kernel VXLAN {Median(kernelRates) / 1e9:F2} Gb/s, {ratio:F2}x");
        output.WriteLine(figures);
        Assert.True(ratio >= LeastRatio, figures);
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);
}
