using System.Text.Json.Nodes;

namespace Overlay.SystemTests.Pods;

/// <summary>Which addresses pods get: those asked for, and those that they had.</summary>
[Collection(PodLabFixture.Shared)]
public sealed class PodAddressTests(PodLabFixture fixture)
{
    private PodNode A => fixture.Lab.A;

    [Theory]
    [InlineData("args")]
    [InlineData("capability")]
    public async Task Add_RequestedAddresses_AreGivenOrRefused(string way)
    {
        string ipv4 = $"10.244.1.{(way == "args" ? 200 : 201)}";
        string ipv6 = $"fd00:244:1:0:1::{(way == "args" ? "c8" : "c9")}";
        JsonObject configuration = PodNode.ConfigurationOf("1.0.0");
        if (way == "capability") configuration["runtimeConfig"] = new JsonObject { ["ips"] = new JsonArray($"{ipv4}/25", ipv6) };
        string arguments = way == "args" ? $"IgnoreUnknown=1;IP={ipv4},{ipv6}" : "";
        TestPod pod = await A.CreatePodAsync();

        CniOutcome added = await A.AddAsync(pod, arguments, configuration: (JsonObject)configuration.DeepClone());
        Assert.True(added.ExitCode == 0, added.Output);
        Assert.Equal([ipv4, ipv6], added.Addresses);

        CniOutcome taken = await A.AddAsync(await A.CreatePodAsync(), arguments, configuration: configuration);
        Assert.Equal(100, taken.Code);
        Assert.Contains($"{ipv4} is held by overlay/{pod.ContainerId}/eth0", taken.Message, StringComparison.Ordinal);
        CniOutcome foreign = await A.AddAsync(await A.CreatePodAsync(), "IP=192.168.5.5");
        Assert.Equal(100, foreign.Code);
    }

    [Fact]
    public async Task Add_PodThatComesAgain_HasItsAddressesAndMac()
    {
        const string arguments = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=db-0";
        (TestPod before, CniOutcome first) = await A.AddPodAsync(arguments);
        await A.DeleteAsync(before);
        await A.AddPodAsync();

        (_, CniOutcome again) = await A.AddPodAsync(arguments);

        Assert.Equal(first.Addresses, again.Addresses);
        Assert.Equal((string)first.Json["interfaces"]![1]!["mac"]!, (string)again.Json["interfaces"]![1]!["mac"]!);
    }
}
