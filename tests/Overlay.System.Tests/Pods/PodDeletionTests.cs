using System.Text.Json.Nodes;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Pods;

/// <summary>What is gone after DEL, after GC, and after an ADD that failed.</summary>
[Collection(PodLabFixture.Shared)]
public sealed class PodDeletionTests(PodLabFixture fixture)
{
    private PodNode A => fixture.Lab.A;

    [Fact]
    public async Task Add_InterfaceThereAlready_FailsAndLeavesNothing()
    {
        TestPod pod = await A.CreatePodAsync();
        await pod.Space.IpAsync("link add eth0 type veth peer name other0");
        string before = await A.Node.Host.StateAsync();
        string tableBefore = await A.Node.Host.CheckAsync("nft", "list", "set", "inet", "overlay-pods", "sources4");

        CniOutcome refused = await A.AddAsync(pod, "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0");

        Assert.Equal(101, refused.Code);
        Assert.Contains("default/web-0", refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, await A.Node.Host.StateAsync());
        Assert.Equal(tableBefore, await A.Node.Host.CheckAsync("nft", "list", "set", "inet", "overlay-pods", "sources4"));
    }

    [Fact]
    public async Task Delete_TwiceWithoutNamespaceAndConcurrently_Succeeds()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        string host = (string)added.Json["interfaces"]![0]!["name"]!;

        CniOutcome[] outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => A.DeleteAsync(pod, withNamespace: i % 2 == 0)));

        Assert.All(outcomes, outcome => Assert.Equal((0, ""), (outcome.ExitCode, outcome.Output)));
        Assert.DoesNotContain(host, await A.Node.Host.CheckAsync("ip", "-o", "link"), StringComparison.Ordinal);
        Assert.DoesNotContain(host, await A.Node.Host.CheckAsync("nft", "list", "table", "inet", "overlay-pods"), StringComparison.Ordinal);
        Assert.Empty(await A.Node.Host.CheckAsync("ip", "route", "show", added.Addresses[0]));
        Assert.Equal(0, (await A.CallAsync("DEL", PodNode.ConfigurationOf("1.0.0"), "never-added", "", "eth0")).Code);
    }

    [Fact]
    public async Task Gc_AttachmentsThatTheRuntimeHasNot_AreFreedAndOthersStay()
    {
        JsonObject configuration = new() { ["cniVersion"] = "1.1.0", ["name"] = "gc-net", ["type"] = "overlay-cni" };
        TestPod kept = await A.CreatePodAsync();
        TestPod stale = await A.CreatePodAsync();
        CniOutcome keptResult = await A.AddAsync(kept, configuration: (JsonObject)configuration.DeepClone());
        CniOutcome staleResult = await A.AddAsync(stale, configuration: (JsonObject)configuration.DeepClone());
        (_, CniOutcome otherNetwork) = await A.AddPodAsync();

        Assert.Equal(0, (await A.CallAsync("GC", configuration.DeepClone())).Code);
        Assert.True((await Ping.RunAsync(A.Node.Host, staleResult.Addresses[0])).Received == 1, "a runtime that does not say what it has loses nothing");
        JsonObject collecting = (JsonObject)configuration.DeepClone();
        collecting["cni.dev/valid-attachments"] = new JsonArray(new JsonObject { ["containerID"] = kept.ContainerId, ["ifname"] = "eth0" });
        Assert.Equal(0, (await A.CallAsync("GC", collecting)).Code);

        Assert.True((await Ping.RunAsync(A.Node.Host, keptResult.Addresses[0])).Received == 1, "what the runtime has stays");
        Assert.True((await Ping.RunAsync(A.Node.Host, otherNetwork.Addresses[0])).Received == 1, "another network's stay");
        Assert.Contains("No route to host", await A.Node.Host.CheckAsync("sh", "-c", $"ip route get {staleResult.Addresses[0]} 2>&1 || true"), StringComparison.Ordinal);
    }
}
