using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Pods;

/// <summary>What <c>overlay ipam check --daemon</c> finds where somebody meddles.</summary>
public sealed class PodCheckTests
{
    [Fact]
    public async Task IpamCheck_WhatSomebodyChanged_IsNamedAndSoundAgainOnceItIsPutBack()
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await using PodNode node = PodNode.WithSixAddresses(network);
        await node.StartAsync();
        (TestPod pod, CniOutcome added) = await node.AddPodAsync("K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0");
        await node.AddPodAsync();
        await node.AssertAddressesAreSoundAsync(2, 4);
        string host = (string)added.Json["interfaces"]![0]!["name"]!;
        string stray = Path.Combine(node.State, "attachments", "ovpstray.json");

        // Things that no look of the daemon's puts right by itself.
        await node.Node.Host.IpAsync($"route add 10.244.1.255/32 dev {host} proto 80");
        await File.WriteAllTextAsync(stray, "{}");
        CommandResult found = await Command.RunAsync(Command.ShortDeadline, null, Repository.Client, "ipam", "check", "--daemon", node.Daemon.Socket);

        Assert.Equal(1, found.ExitCode);
        Assert.Contains("the host's route to 10.244.1.255/32 is no pod's", found.Output, StringComparison.Ordinal);
        Assert.Contains($"{stray} is the record of no pod", found.Output, StringComparison.Ordinal);
        Assert.Contains("2 pods, 4 addresses: 2 contradictions", found.Output, StringComparison.Ordinal);
        await node.Node.Host.IpAsync($"route del 10.244.1.255/32 dev {host} proto 80");
        File.Delete(stray);
        await node.AssertAddressesAreSoundAsync(2, 4);

        await pod.DisposeAsync();
        await Eventually.TrueAsync(
            async () => (await Command.RunAsync(Command.ShortDeadline, null, Repository.Client, "ipam", "check", "--daemon", node.Daemon.Socket)).Output.EndsWith("1 pods, 2 addresses: no contradiction\n", StringComparison.Ordinal),
            TimeSpan.FromSeconds(60), "what ended without DEL is freed");
        await node.Daemon.StopAsync();
        CommandResult down = await Command.RunAsync(Command.ShortDeadline, null, Repository.Client, "ipam", "check", "--daemon", node.Daemon.Socket);
        Assert.Equal(1, down.ExitCode);
        Assert.Contains("overlayd", down.Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("point-to-point")]
    [InlineData("bridge")]
    public async Task IpamCheck_AddressesOfAPodWithoutRecord_AreNamed(string mode)
    {
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions());
        await using var node = new PodNode(network, network.A, new TunnelOptions()) { LeakSeconds = 600, Lines = [$"mode: {mode}"] };
        await node.StartAsync();
        (TestPod pod, CniOutcome lost) = await node.AddPodAsync();
        await node.AddPodAsync();
        await node.AssertAddressesAreSoundAsync(2, 4);
        string host = (string)lost.Json["interfaces"]![0]!["name"]!;

        await node.Daemon.KillAsync();
        File.Delete(Path.Combine(node.State, "attachments", $"{host}.json"));
        await node.Node.Host.IpAsync($"link del {host}");
        await node.Daemon.DisposeAsync();
        await node.StartAsync();
        CommandResult found = await Command.RunAsync(Command.ShortDeadline, null, Repository.Client, "ipam", "check", "--daemon", node.Daemon.Socket);

        Assert.Equal(1, found.ExitCode);
        foreach (string address in lost.Addresses) Assert.Contains($"{address} is held for overlay/{pod.ContainerId}/eth0, of which there is nothing", found.Output, StringComparison.Ordinal);
        Assert.EndsWith("1 pods, 4 addresses: 2 contradictions\n", found.Output, StringComparison.Ordinal);
    }
}
