using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Pods;
using Overlay.Testing;

namespace Overlay.SystemTests.Control;

/// <summary>What a node does by itself when no controller answers and its host is in trouble too.</summary>
public sealed class NodeFaultTests
{
    /// <summary>
    /// The daemon is killed and starts on a disk that is full, with a clock that was set back by so much that its certificate is not valid yet. It forwards, and hands out
    /// addresses as soon as there is room; with the clock set on it is the node that it was.
    /// </summary>
    [Fact]
    public async Task Daemon_StartedOnAFullDiskWithItsClockSetBackAndNoController_ForwardsAndGivesNoAddressTwice()
    {
        using var disk = new SmallDisk(kilobytes: 512);
        await using ControlledLab lab = await ControlledLab.StartAsync();
        File.CreateSymbolicLink($"{lab.Folder}/a", disk.Folder);
        NetworkNamespace a = await lab.AddHostAsync(1);
        RunningProcess daemon = await StartAsync(lab, a);
        await using TestPod first = await TestPod.CreateAsync("f1");
        string[] addresses = (await UntilAddedAsync(lab, first)).Addresses;
        string own = await ControlledLab.AddressAsync(a, "ovl42");
        await ControlledLab.UntilAsync(() => Task.FromResult(File.Exists($"{disk.Folder}/network.state")), "state on disk");

        await lab.KillControllerAsync();
        disk.Fill();
        daemon.Signal(Libc.SignalKill);
        await daemon.WaitForExitAsync(ControlledLab.Deadline);
        daemon = await StartAsync(lab, a, clock: "-5d");

        Assert.Equal(own, await ControlledLab.AddressAsync(a, "ovl42"));
        await ControlledLab.UntilAsync(
            async () => (await first.Space.RunAsync(ControlledLab.Deadline, "ping", "-n", "-c", "1", "-W", "1", own)).ExitCode == 0, "an answer of the node to its pod");
        disk.MakeRoom();
        await using TestPod second = await TestPod.CreateAsync("f2");
        string[] others = (await UntilAddedAsync(lab, second)).Addresses;
        Assert.Equal(4, addresses.Concat(others).Distinct().Count());
        await lab.StartControllerAsync();
        await daemon.WaitForTextAsync("is not valid before", ControlledLab.Deadline);

        // Under libfaketime, set back, timed waits end at once, and so would its orderly end.
        daemon.Signal(Libc.SignalKill);
        await daemon.WaitForExitAsync(ControlledLab.Deadline);
        daemon = await StartAsync(lab, a);
        await daemon.WaitForTextAsync("registered with controller", ControlledLab.Deadline);
        Assert.Contains("no contradiction", await lab.AdministerAsync("ipam", "check"), StringComparison.Ordinal);
    }

    private static Task<RunningProcess> StartAsync(ControlledLab lab, NetworkNamespace host, string clock = "") => lab.StartNodeAsync(
        host, "node-a", "a", $$"""
          networks: [pods]
        pods: { segment: pods, socket: {{lab.Folder}}/cni-a.sock, state: {{lab.Folder}}/pods-a }
        """, clock);

    private static async Task<CniOutcome> UntilAddedAsync(ControlledLab lab, TestPod pod)
    {
        CniOutcome result = null!;
        await ControlledLab.UntilAsync(async () => (result = await CallAsync(lab, pod)).ExitCode == 0, "an address");
        return result;
    }

    private static Task<CniOutcome> CallAsync(ControlledLab lab, TestPod pod) =>
        PodNode.CallAsync($"{lab.Folder}/cni-a.sock", $"{lab.Folder}/pods-a", "ADD", PodNode.ConfigurationOf("1.1.0"), pod.ContainerId, pod.Path, "eth0", "");
}
