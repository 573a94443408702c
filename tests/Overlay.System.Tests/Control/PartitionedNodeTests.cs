using System.Text.Json;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Pods;

namespace Overlay.SystemTests.Control;

/// <summary>A node that is cut off from its controller for so long that another node gets its block.</summary>
public sealed class PartitionedNodeTests
{
    [Fact]
    public async Task Node_CutOffUntilAnotherHasItsBlock_GivesNoPodAnAddressOfItAndTellsWhoseItIsWhenItIsBack()
    {
        await using ControlledLab lab = await ControlledLab.StartAsync(graceSeconds: 4);
        await lab.AdministerAsync("network", "create", "few", "--vni", "44", "--pool", "10.250.0.0/25");
        NetworkNamespace a = await lab.AddHostAsync(1);
        await StartAsync(lab, a, "a", lowWater: 4);
        await using TestPod first = await TestPod.CreateAsync("p1");
        await using TestPod second = await TestPod.CreateAsync("p2");
        string[] addresses = [await AddAsync(lab, first), await AddAsync(lab, second)];
        NetworkNamespace b = await lab.AddHostAsync(2);
        // It wants both blocks that there are.
        await StartAsync(lab, b, "b", lowWater: 100);
        await ControlledLab.AddressAsync(b, "ovl44");

        await a.IpAsync("route add unreachable 192.0.2.100/32");
        await ControlledLab.UntilAsync(async () => (await ProblemsAsync(lab)).Contains("no controller has confirmed this node's blocks", StringComparison.Ordinal), "doubt of the node");
        await using TestPod late = await TestPod.CreateAsync("p3");
        CniOutcome refused = await CallAsync(lab, "ADD", late);

        Assert.Equal(11, refused.Code);
        Assert.Contains("no controller has confirmed this node's blocks for ", refused.Message, StringComparison.Ordinal);
        Assert.Contains("no new address of 10.250.0.", refused.Message, StringComparison.Ordinal);
        Assert.Equal(50, (await CallAsync(lab, "STATUS", late)).Code);
        await ControlledLab.UntilAsync(async () => (await lab.AskAsync("ipam", "who", addresses[0])).Output.Contains("/26 of node node-b since", StringComparison.Ordinal), "the block at the other node");
        Assert.Equal(0, (await first.Space.RunAsync(ControlledLab.Deadline, "ping", "-n", "-c", "1", "-W", "2", addresses[1])).ExitCode);
        Assert.Equal(11, (await CallAsync(lab, "ADD", late)).Code);

        await a.IpAsync("route delete unreachable 192.0.2.100/32");
        await ControlledLab.UntilAsync(async () => (await ProblemsAsync(lab)).Contains("was taken from this node, and 2 of its addresses are in use here", StringComparison.Ordinal), "the loss");
        string problems = await ProblemsAsync(lab);
        Assert.Contains($"{addresses[0]} of ", problems, StringComparison.Ordinal);
        Assert.Contains("node-b", problems, StringComparison.Ordinal);
        CommandResult check = await Command.RunAsync(ControlledLab.Deadline, null, Repository.Client, ["ipam", "check", "--daemon", $"{lab.Folder}/a.sock"]);
        Assert.Equal(1, check.ExitCode);
        Assert.Contains($"has {addresses[0]} of the block 10.250.0.", check.Output, StringComparison.Ordinal);
        Assert.Equal(0, (await CallAsync(lab, "DEL", first)).Code);
        Assert.Equal(0, (await CallAsync(lab, "DEL", second)).Code);
        await ControlledLab.UntilAsync(async () => !(await ProblemsAsync(lab)).Contains("was taken", StringComparison.Ordinal), "the end of the loss");
        Assert.Contains("no contradiction", await lab.AdministerAsync("ipam", "check"), StringComparison.Ordinal);
    }

    private static Task<RunningProcess> StartAsync(ControlledLab lab, NetworkNamespace host, string name, int lowWater) => lab.StartNodeAsync(host, $"node-{name}", name, $$"""
          networks: [few]
          lowWater: {{lowWater}}
        pods: { socket: {{lab.Folder}}/cni-{{name}}.sock, state: {{lab.Folder}}/pods-{{name}} }
        """);

    private static async Task<string> AddAsync(ControlledLab lab, TestPod pod)
    {
        CniOutcome result = null!;
        await ControlledLab.UntilAsync(async () => (result = await CallAsync(lab, "ADD", pod)).Code is not 11, "an address");
        Assert.True(result.ExitCode == 0, result.Output);
        return result.Addresses.Single();
    }

    private static Task<CniOutcome> CallAsync(ControlledLab lab, string command, TestPod pod) =>
        PodNode.CallAsync($"{lab.Folder}/cni-a.sock", $"{lab.Folder}/pods-a", command, PodNode.ConfigurationOf("1.1.0"), pod.ContainerId, pod.Path, "eth0", "");

    private static async Task<string> ProblemsAsync(ControlledLab lab)
    {
        JsonElement control = (await lab.StatusAsync("a")).GetProperty("control");
        return string.Join('\n', control.GetProperty("problems").EnumerateArray().Select(problem => problem.GetString()));
    }
}
