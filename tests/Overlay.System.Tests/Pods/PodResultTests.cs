using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Pods;

/// <summary>What ADD answers, in each version of the specification and behind other plugins.</summary>
[Collection(PodLabFixture.Shared)]
public sealed class PodResultTests(PodLabFixture fixture)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private PodNode A => fixture.Lab.A;

    [Fact]
    public async Task Add_Result_SaysWhatTheKernelHas()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();

        JsonNode result = added.Json;
        Assert.Equal("1.1.0", (string)result["cniVersion"]!);
        JsonNode inside = result["interfaces"]![1]!;
        Assert.Equal(("eth0", pod.Path), ((string)inside["name"]!, (string)inside["sandbox"]!));
        JsonNode link = JsonNode.Parse(await pod.Space.CheckAsync("ip", "-j", "-d", "link", "show", "eth0"))![0]!;
        Assert.Equal((string)inside["mac"]!, (string)link["address"]!);
        Assert.Equal(A.Node.OverlayMtu, (int)link["mtu"]!);
        Assert.Equal(A.Node.OverlayMtu, (int)inside["mtu"]!);
        string addresses = await pod.Space.CheckAsync("ip", "-o", "address", "show", "dev", "eth0", "scope", "global");
        foreach (JsonNode? ip in result["ips"]!.AsArray()) Assert.Contains((string)ip!["address"]!, addresses, StringComparison.Ordinal);
        Assert.Equal(["0.0.0.0/0", "::/0"], result["routes"]!.AsArray().Select(route => (string)route!["dst"]!));
        string host = (string)result["interfaces"]![0]!["name"]!;
        Assert.Contains(host, await A.Node.Host.CheckAsync("ip", "route", "show", added.Addresses[0]), StringComparison.Ordinal);
        Assert.Equal(0, (await A.CallAsync("CHECK", Checking(result), pod.ContainerId, pod.Path, "eth0")).Code);
        Assert.Equal(0, (await A.CallAsync("STATUS", PodNode.ConfigurationOf("1.1.0"))).Code);

        await pod.Space.IpAsync($"address del {result["ips"]![0]!["address"]} dev eth0");
        CniOutcome failed = await A.CallAsync("CHECK", Checking(result), pod.ContainerId, pod.Path, "eth0");
        Assert.Equal(102, failed.Code);
        Assert.Contains(added.Addresses[0], failed.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0.3.1")]
    [InlineData("0.4.0")]
    [InlineData("1.0.0")]
    public async Task Add_OlderVersion_IsAnsweredInIt(string version)
    {
        TestPod pod = await A.CreatePodAsync();

        CniOutcome added = await A.AddAsync(pod, configuration: PodNode.ConfigurationOf(version));

        Assert.Equal(version, (string)added.Json["cniVersion"]!);
        JsonObject ip = added.Json["ips"]![0]!.AsObject();
        Assert.Equal(version != "1.0.0", ip.ContainsKey("version"));
        Assert.False(added.Json["interfaces"]![1]!.AsObject().ContainsKey("mtu"));
        // The reference plugins refuse a result that is none of the version.
        JsonObject chained = PodNode.ConfigurationOf(version);
        chained["type"] = "tuning";
        chained["prevResult"] = added.Json.DeepClone();
        CommandResult passed = await Command.RunAsync(
            Deadline, chained.ToJsonString(), "env", "CNI_COMMAND=ADD", $"CNI_CONTAINERID={pod.ContainerId}", $"CNI_NETNS={pod.Path}", "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni", "/usr/lib/cni/tuning");
        Assert.True(passed.ExitCode == 0, passed.Transcript);
        JsonNode kept = JsonNode.Parse(passed.Output)!;
        Assert.Equal(version, (string)kept["cniVersion"]!);
        foreach (string list in new[] { "ips", "routes", "interfaces" }) Assert.Equal(Shape(added.Json[list]!), Shape(kept[list]!));
    }

    [Fact]
    public async Task Add_AfterAnotherPlugin_KeepsItsResult()
    {
        TestPod pod = await A.CreatePodAsync();
        JsonObject configuration = PodNode.ConfigurationOf("1.0.0");
        configuration["prevResult"] = JsonNode.Parse("""
            { "cniVersion": "1.0.0", "interfaces": [{ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/x" }],
              "ips": [{ "address": "127.0.0.1/8", "interface": 0 }], "dns": { "nameservers": ["192.0.2.53"] }, "other": { "kept": 1 } }
            """);

        CniOutcome added = await A.AddAsync(pod, configuration: configuration);

        Assert.Equal(["lo", "eth0"], added.Json["interfaces"]!.AsArray().Where(each => each!["sandbox"] is not null).Select(each => (string)each!["name"]!));
        Assert.Equal([0, 2, 2], added.Json["ips"]!.AsArray().Select(ip => (int)ip!["interface"]!));
        Assert.Equal("192.0.2.53", (string)added.Json["dns"]!["nameservers"]![0]!);
        Assert.Equal(1, (int)added.Json["other"]!["kept"]!);
    }

    /// <summary>The items with their members in order.</summary>
    private static IEnumerable<string> Shape(JsonNode list) =>
        list.AsArray().Select(item => string.Join(',', item!.AsObject().OrderBy(member => member.Key, StringComparer.Ordinal).Select(member => $"{member.Key}={member.Value!.ToJsonString()}")));

    private static JsonObject Checking(JsonNode result)
    {
        JsonObject configuration = PodNode.ConfigurationOf("1.1.0");
        configuration["prevResult"] = result.DeepClone();
        return configuration;
    }
}
