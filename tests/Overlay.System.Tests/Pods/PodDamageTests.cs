using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Pods;

/// <summary>What CHECK finds where somebody meddled with a pod, or with the host's side of it.</summary>
[Collection(PodLabFixture.Shared)]
public sealed class PodDamageTests(PodLabFixture fixture)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private PodNode A => fixture.Lab.A;

    [Theory]
    [InlineData("address del {address4}/32 dev eth0", "lost the address")]
    [InlineData("address del {address6}/128 dev eth0", "lost the address")]
    [InlineData("route del default", "default route")]
    [InlineData("-6 route del default", "default route")]
    [InlineData("link set eth0 down", "is down")]
    [InlineData("link set eth0 address 02:00:00:00:00:99", "has the MAC")]
    [InlineData("neighbour del {gateway4} dev eth0", "does not know the MAC")]
    [InlineData("link del eth0", "gone")]
    public async Task Check_DamagedPod_SaysWhatIsMissing(string damage, string expected)
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        Assert.Equal(0, (await CheckAsync(pod, added.Json)).Code);

        await pod.Space.CheckAsync(["ip", .. damage.Replace("{address4}", added.Addresses[0], StringComparison.Ordinal)
            .Replace("{address6}", added.Addresses[1], StringComparison.Ordinal)
            .Replace("{gateway4}", (string)added.Json["ips"]![0]!["gateway"]!, StringComparison.Ordinal).Split(' ')]);

        CniOutcome found = await CheckAsync(pod, added.Json);
        Assert.Equal(102, found.Code);
        Assert.Contains(expected, found.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("route del {address4}", "no route to {address4}/32")]
    [InlineData("-6 route del {address6}", "no route to {address6}/128")]
    [InlineData("neighbour del {address6} dev {host}", "does not know the MAC of {address6}")]
    public async Task Check_DamagedHost_SaysWhatIsMissingUntilItIsPutBack(string damage, string expected)
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();

        CniOutcome found = added;
        // The daemon's own look may come between the two.
        await Eventually.TrueAsync(
            async () =>
            {
                await A.Node.Host.CheckAsync(["ip", .. Filled(damage).Split(' ')]);
                return (found = await CheckAsync(pod, added.Json)).Code == 102;
            },
            Deadline, "CHECK that fails");
        Assert.Contains(Filled(expected), found.Message, StringComparison.Ordinal);
        await Eventually.TrueAsync(async () => (await CheckAsync(pod, added.Json)).Code == 0, Deadline, "what was taken put back");

        string Filled(string text) => text.Replace("{address4}", added.Addresses[0], StringComparison.Ordinal).Replace("{address6}", added.Addresses[1], StringComparison.Ordinal)
            .Replace("{host}", (string)added.Json["interfaces"]![0]!["name"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_TableFlushed_PutsItBack()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        await A.Node.Host.CheckAsync("nft", "flush", "ruleset");

        Assert.Equal(0, (await CheckAsync(pod, added.Json)).Code);

        Assert.Contains(added.Addresses[0], await A.Node.Host.CheckAsync("nft", "list", "table", "inet", "overlay-pods"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Check_WhatAPluginBehindChangedAndSays_IsAsItShouldBe()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        await pod.Space.IpAsync("route del default");
        JsonObject result = (JsonObject)added.Json.DeepClone();
        result["routes"]!.AsArray().RemoveAt(0);
        result["interfaces"]!.AsArray().Insert(0, new JsonObject { ["name"] = "other0", ["sandbox"] = "/elsewhere" });

        CniOutcome found = await CheckAsync(pod, result);
        Assert.True(found.ExitCode == 0, found.Output);
    }

    [Fact]
    public async Task Check_WithoutResultOrOfNobody_IsRefused()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();

        Assert.Equal(7, (await A.CallAsync("CHECK", PodNode.ConfigurationOf("1.1.0"), pod.ContainerId, pod.Path, "eth0")).Code);
        Assert.Equal(3, (await CheckAsync(await A.CreatePodAsync(), added.Json)).Code);
        Assert.Equal(1, (await A.CallAsync("CHECK", PodNode.ConfigurationOf("0.3.1"), pod.ContainerId, pod.Path, "eth0")).Code);
    }

    private Task<CniOutcome> CheckAsync(TestPod pod, JsonNode result)
    {
        JsonObject configuration = PodNode.ConfigurationOf("1.1.0");
        configuration["prevResult"] = result.DeepClone();
        return A.CallAsync("CHECK", configuration, pod.ContainerId, pod.Path, "eth0");
    }
}
