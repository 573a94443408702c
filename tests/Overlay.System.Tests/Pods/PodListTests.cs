using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Pods;

/// <summary>What a node tells of its pods.</summary>
[Collection(PodLabFixture.Shared)]
public sealed class PodListTests(PodLabFixture fixture)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private PodNode A => fixture.Lab.A;

    [Fact]
    public async Task Pods_OfTheNode_AreListedAndShown()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync("K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_UID=1234");

        string list = await A.ClientAsync("pods");
        Assert.Matches(@"POD +ADDRESSES +NODE +INTERFACE +HOST +OWNER +SINCE", list);
        Assert.Matches($@"shop/cart-0 +{added.Addresses[0]}/32 {added.Addresses[1]}/128 +node-a +eth0 +ovp-[0-9a-f]+ +overlay/{pod.ContainerId}/eth0 +20", list);
        foreach (string what in new[] { "shop/cart-0", "cart-0", added.Addresses[0], added.Addresses[1], pod.ContainerId })
        {
            string shown = await A.ClientAsync("pod", "show", what);
            Assert.Matches(@"pod uid +1234", shown);
            Assert.Matches($"namespace +{pod.Path}", shown);
        }
        CommandResult absent = await Command.RunAsync(Deadline, null, Repository.Client, "pod", "show", "nobody", "--socket", A.Daemon.Socket);
        Assert.Equal((1, "", "overlay: no pod 'nobody'; 'overlay pods' lists them\n"), (absent.ExitCode, absent.Output, absent.Errors));
    }

    [Fact]
    public async Task Metrics_AfterAnAdd_TellItsTimeAndTheAddressesInUse()
    {
        await A.AddPodAsync();

        using var http = new HttpClient(Rpc.Hosting.UnixSocketHttp.CreateHandler(A.Daemon.Socket)) { BaseAddress = new Uri("http://localhost"), Timeout = Deadline };
        string text = await http.GetStringAsync(new Uri(Rpc.LocalApi.MetricsPath, UriKind.Relative));

        Assert.Matches("\noverlay_cni_duration_seconds_count\\{command=\"ADD\",code=\"0\"\\} [1-9]", text);
        foreach (string family in new[] { "ipv4", "ipv6" })
        {
            Assert.Matches($"\noverlay_ipam_addresses\\{{network=\"pods\",family=\"{family}\",state=\"used\"\\}} [1-9]", text);
            Assert.Contains($"\noverlay_ipam_exhaustion_seconds{{network=\"pods\",family=\"{family}\"}} ", text, StringComparison.Ordinal);
        }
        CommandResult check = await Command.RunAsync(Deadline, text, "promtool", "check", "metrics");
        Assert.True(check.ExitCode == 0 && check.Output.Length == 0 && check.Errors.Length == 0, check.Transcript);
    }
}
