using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Pods;

/// <summary>Calls of the real plugin that should be refused, by the codes and shapes of the CNI specification 1.1.</summary>
public sealed class PodCallTests(PodLabFixture fixture) : IClassFixture<PodLabFixture>
{
    private PodNode A => fixture.Lab.A;

    [Theory]
    [InlineData("/etc/hostname", 3)]
    [InlineData("/etc/hostname/net", 3)]
    [InlineData("/run/netns", 3)]
    [InlineData("/proc/self/ns/mnt", 3)]
    [InlineData("/dev/null", 3)]
    [InlineData("pipe", 3)]
    [InlineData("home", 4)]
    [InlineData("/proc/self/ns/net", 4)]
    [InlineData("run/netns/absent", 4)]
    public async Task Add_PathThatIsNoPodsNamespace_IsRefusedAtOnceAndNamesThePod(string path, int code)
    {
        string given = path;
        if (path == "home") given = $"/run/netns/{A.Node.Host.Name}";
        if (path == "pipe")
        {
            given = Path.Combine(A.State, "pipe");
            // Nobody ever writes into it.
            if (!File.Exists(given)) await Command.CheckAsync(Command.ShortDeadline, null, "mkfifo", given);
        }

        CniOutcome refused = await A.CallAsync("ADD", PodNode.ConfigurationOf("1.1.0"), "x", given, "eth0", "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0");

        Assert.Equal((1, code, "1.1.0"), (refused.ExitCode, refused.Code, (string)refused.Json["cniVersion"]!));
        Assert.Contains("default/web-0", refused.Message, StringComparison.Ordinal);
        Assert.Contains(given, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Add_SecondTime_IsRefusedAndTheFirstStays()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();

        CniOutcome again = await A.AddAsync(pod);

        Assert.Equal(101, again.Code);
        Assert.Contains(pod.ContainerId, again.Message, StringComparison.Ordinal);
        PingResult answers = await Ping.RunAsync(A.Node.Host, added.Addresses[0]);
        Assert.True(answers.Received == 1, answers.Transcript);
    }

    [Fact]
    public async Task Add_NoNamespace_SaysThatTheContainerIsGone() =>
        Assert.Equal(3, (await A.CallAsync("ADD", PodNode.ConfigurationOf("1.0.0"), "x", "/run/netns/absent", "eth0")).Code);

    [Theory]
    [InlineData("0.2.0", 1)]
    [InlineData("1.2.0", 1)]
    [InlineData("", 1)]
    public async Task Add_VersionThatIsNotSpoken_IsRefusedWithThoseThatAre(string version, int code)
    {
        CniOutcome refused = await A.AddAsync(await A.CreatePodAsync(), configuration: PodNode.ConfigurationOf(version));

        Assert.Equal(code, refused.Code);
        Assert.Contains("0.3.1, 0.4.0, 1.0.0, 1.1.0", (string)refused.Json["details"]!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("lo", 101)]
    [InlineData("sixteen-letters-", 4)]
    [InlineData("eth%d", 4)]
    [InlineData("..", 4)]
    public async Task Add_InterfaceThatCannotBe_IsRefusedAndNamesThePod(string name, int code)
    {
        CniOutcome refused = await A.AddAsync(await A.CreatePodAsync(), "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0", name);

        Assert.Equal(code, refused.Code);
        Assert.Contains("default/web-0", refused.Message, StringComparison.Ordinal);
        Assert.Contains(name, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("IP=10.244.1.140;COLOUR=red", 4)]
    [InlineData("IP=10.244.1", 4)]
    [InlineData("IP=10.244.1.141,10.244.1.142", 7)]
    [InlineData("IP=10.244.1.128", 100)]
    [InlineData("IP=10.244.1.255", 100)]
    [InlineData("IP=10.244.2.200", 100)]
    [InlineData("MAC=01:00:5e:00:00:01", 4)]
    public async Task Add_ArgumentsThatCannotBe_AreRefusedAndNothingIsHeld(string arguments, int code)
    {
        TestPod pod = await A.CreatePodAsync();

        Assert.Equal(code, (await A.AddAsync(pod, arguments)).Code);
        Assert.DoesNotContain(pod.ContainerId, await PodsAsync(), StringComparison.Ordinal);
        Assert.Equal(0, (await A.AddAsync(pod, "IgnoreUnknown=1;COLOUR=red")).Code);
    }

    [Fact]
    public async Task Delete_WhatAddWasRefusedFor_Succeeds()
    {
        JsonObject configuration = PodNode.ConfigurationOf("1.0.0");
        configuration["ipam"] = new JsonObject { ["type"] = "host-local" };
        TestPod pod = await A.CreatePodAsync();

        Assert.Equal(2, (await A.AddAsync(pod, configuration: (JsonObject)configuration.DeepClone())).Code);
        CniOutcome deleted = await A.CallAsync("DEL", configuration, pod.ContainerId, pod.Path, "eth0");
        Assert.Equal((0, ""), (deleted.ExitCode, deleted.Output));
    }

    [Fact]
    public async Task Add_NamesOfAnyLength_AreTakenOrRefusedAndTheDaemonGoesOn()
    {
        TestPod pod = await A.CreatePodAsync(new string('c', 5000));

        CniOutcome refused = await A.AddAsync(pod);

        Assert.Equal(5, refused.Code);
        Assert.Contains("too long", refused.Message, StringComparison.Ordinal);
        Assert.Equal(0, (await A.DeleteAsync(pod)).Code);
        await A.AddPodAsync($"IgnoreUnknown=1;K8S_POD_NAMESPACE={new string('n', 63)};K8S_POD_NAME={new string('p', 253)}");
    }

    [Fact]
    public async Task Add_OfOneInterfaceAtOnce_OneSucceedsAndOthersSayThatItIsThere()
    {
        TestPod pod = await A.CreatePodAsync();

        CniOutcome[] outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => A.AddAsync(pod)));

        CniOutcome added = Assert.Single(outcomes, outcome => outcome.ExitCode == 0);
        Assert.All(outcomes.Where(outcome => outcome != added), outcome =>
        {
            Assert.Equal(101, outcome.Code);
            Assert.Contains(pod.ContainerId, outcome.Message, StringComparison.Ordinal);
        });
        Assert.True((await Ping.RunAsync(A.Node.Host, added.Addresses[0])).Received == 1, "the one that succeeded answers");
        Assert.Equal(0, (await A.DeleteAsync(pod)).Code);
    }

    [Fact]
    public async Task AddDeleteAndCollect_OfOneInterfaceAtOnce_LeaveNothingOnceItIsDeleted()
    {
        TestPod pod = await A.CreatePodAsync("raced");
        JsonObject collecting = PodNode.ConfigurationOf("1.1.0");
        collecting["name"] = "raced-network";
        JsonObject configuration = (JsonObject)collecting.DeepClone();
        collecting["cni.dev/valid-attachments"] = new JsonArray();

        CniOutcome[] outcomes = await Task.WhenAll(Enumerable.Range(0, 18).Select(i => (i % 3) switch
        {
            0 => A.AddAsync(pod, configuration: (JsonObject)configuration.DeepClone()),
            1 => A.CallAsync("DEL", configuration.DeepClone(), pod.ContainerId, pod.Path, "eth0"),
            _ => A.CallAsync("GC", collecting.DeepClone()),
        }));

        Assert.All(outcomes, outcome => Assert.Contains(outcome.Code, (int[])[0, 101]));
        Assert.Equal(0, (await A.CallAsync("DEL", configuration, pod.ContainerId, pod.Path, "eth0")).Code);
        Assert.DoesNotContain("raced", await PodsAsync(), StringComparison.Ordinal);
        Assert.DoesNotContain("eth0", await pod.Space.CheckAsync("ip", "-o", "link"), StringComparison.Ordinal);
        string check = (await Command.RunAsync(Command.ShortDeadline, null, Repository.Client, "ipam", "check", "--daemon", A.Daemon.Socket)).Output;
        Assert.DoesNotContain("raced", check, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Add_OfSeveralNetworksToOnePod_EachHasItsInterfaceAndGoesAlone()
    {
        (TestPod pod, CniOutcome first) = await A.AddPodAsync();
        JsonObject configuration = PodNode.ConfigurationOf("1.0.0");
        configuration["name"] = "storage";

        CniOutcome taken = await A.AddAsync(pod, configuration: (JsonObject)configuration.DeepClone());
        CniOutcome second = await A.AddAsync(pod, interfaceName: "net1", configuration: (JsonObject)configuration.DeepClone());

        Assert.Equal(101, taken.Code);
        Assert.True(second.ExitCode == 0, second.Output);
        Assert.Equal(0, (await A.CallAsync("DEL", configuration, pod.ContainerId, pod.Path, "net1")).Code);
        Assert.True((await Ping.RunAsync(A.Node.Host, first.Addresses[0])).Received == 1, "the first stays");
    }

    [Fact]
    public async Task Add_ContainerThatComesAgainInAnotherNamespace_TakesTheOneThatEnded()
    {
        TestPod ended = await A.CreatePodAsync("again");
        CniOutcome first = await A.AddAsync(ended);
        CniOutcome inUse = await A.AddAsync(await A.CreatePodAsync("again"));
        Assert.Equal(101, inUse.Code);
        Assert.Contains(ended.Path, inUse.Message, StringComparison.Ordinal);
        await ended.DisposeAsync();

        TestPod next = await A.CreatePodAsync("again");
        CniOutcome second = await A.AddAsync(next);

        Assert.True(second.ExitCode == 0, second.Output);
        Assert.Equal(first.Addresses, second.Addresses);
        Assert.True((await Ping.RunAsync(A.Node.Host, second.Addresses[0])).Received == 1, "it answers");
    }

    private Task<string> PodsAsync() => A.ClientAsync("pods", "--json");
}
