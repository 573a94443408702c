using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Control;

/// <summary>Whole nodes whose networks and peers a controller tells.</summary>
public sealed class ControlledNodesTests : IAsyncLifetime
{
    private ControlledLab _lab = null!;
    private NetworkNamespace _a = null!;
    private NetworkNamespace _b = null!;
    private RunningProcess _daemonA = null!;

    public async Task InitializeAsync()
    {
        _lab = await ControlledLab.StartAsync();
        _a = await _lab.AddHostAsync(1);
        _b = await _lab.AddHostAsync(2);
        _daemonA = await _lab.StartNodeAsync(_a, "node-a", "a");
        await _lab.StartNodeAsync(_b, "node-b", "b");
    }

    public async Task DisposeAsync() => await _lab.DisposeAsync();

    [Fact]
    public async Task Controller_AwayForLongerThanTheLeaseAndANodeRestartedMeanwhile_TrafficGoesOnAndTheNodeCatchesUp()
    {
        string a = await ControlledLab.AddressAsync(_a, "ovl42");
        string b = await ControlledLab.AddressAsync(_b, "ovl42");
        await ControlledLab.ReachesAsync(_a, a, b);
        await ControlledLab.UntilAsync(() => Task.FromResult(File.Exists($"{_lab.Folder}/a/network.state")), "state on disk");

        await _lab.KillControllerAsync();
        CommandResult flow = await _a.RunAsync(ControlledLab.Deadline, "ping", "-n", "-q", "-c", "40", "-i", "0.1", "-W", "1", "-I", a, b);
        Assert.Contains(" 0% packet loss", flow.Output, StringComparison.Ordinal);
        _daemonA.Signal(Libc.SignalTerminate);
        Assert.Equal(0, await _daemonA.WaitForExitAsync(ControlledLab.Deadline));
        RunningProcess restarted = await _lab.StartNodeAsync(_a, "node-a", "a");
        Assert.Equal(a, await ControlledLab.AddressAsync(_a, "ovl42"));
        await ControlledLab.ReachesAsync(_a, a, b);

        await _lab.StartControllerAsync();
        await restarted.WaitForTextAsync("registered with controller", ControlledLab.Deadline);
        await _lab.AdministerAsync("network", "create", "late", "--vni", "43", "--pool", "10.245.0.0/16", "--encapsulation", "geneve");
        await ControlledLab.ReachesAsync(_a, await ControlledLab.AddressAsync(_a, "ovl43"), await ControlledLab.AddressAsync(_b, "ovl43"));
        await ControlledLab.ReachesAsync(_a, a, b);
        Assert.Contains("no contradiction", await _lab.AdministerAsync("ipam", "check"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Partition_OfNodesAndControllerForLongerThanTheLease_TrafficGoesOnAndTheNodesComeBack()
    {
        string a = await ControlledLab.AddressAsync(_a, "ovl42");
        string b = await ControlledLab.AddressAsync(_b, "ovl42");
        await ControlledLab.ReachesAsync(_a, a, b);

        await _lab.ConnectControllerAsync(false);
        Task<CommandResult> flow = _a.RunAsync(ControlledLab.Deadline, "ping", "-n", "-q", "-c", "60", "-i", "0.1", "-W", "1", "-I", a, b);
        await ControlledLab.UntilAsync(async () => (await _lab.AdministerAsync("node", "list")).Split("lost").Length == 3, "both nodes are taken for lost");
        Assert.Contains(" 0% packet loss", (await flow).Output, StringComparison.Ordinal);
        await _lab.ConnectControllerAsync(true);

        await ControlledLab.UntilAsync(async () => !(await _lab.AdministerAsync("node", "list")).Contains("lost", StringComparison.Ordinal), "both nodes are back");
        await ControlledLab.ReachesAsync(_a, a, b);
        Assert.Contains("no contradiction", await _lab.AdministerAsync("ipam", "check"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Node_UnderAnotherUnderlayAddress_IsFollowedByItsPeersWithinASecond()
    {
        string a = await ControlledLab.AddressAsync(_a, "ovl42");
        string b = await ControlledLab.AddressAsync(_b, "ovl42");
        await ControlledLab.ReachesAsync(_a, a, b);

        Task<CommandResult> flow = _a.RunAsync(ControlledLab.Deadline, "ping", "-n", "-q", "-c", "80", "-i", "0.05", "-W", "1", "-I", a, b);
        await _b.IpAsync("address delete 192.0.2.2/24 dev underlay0", "address add 192.0.2.77/24 dev underlay0");

        string counts = (await flow).Output;
        int received = int.Parse(counts[..counts.IndexOf(" received", StringComparison.Ordinal)].Split(' ')[^1], CultureInfo.InvariantCulture);
        Assert.True(received >= 60, $"more than a second of a ping each 50 ms was lost: {counts}");
        Assert.Equal("192.0.2.77:4789", (await _lab.StatusAsync("a")).GetProperty("peers")[0].GetProperty("endpoint").GetString());
        using JsonDocument nodes = JsonDocument.Parse(await _lab.AdministerAsync("node", "list", "--json"));
        Assert.Equal(["node-a", "node-b"], nodes.RootElement.GetProperty("nodes").EnumerateArray().Select(node => node.GetProperty("name").GetString()));
    }

    /// <summary>First by a certificate that expires, then by an authority that is changed for all.</summary>
    [Fact]
    public async Task Certificates_ExpiredAndRotated_NodesAreCutOffWithAReasonAndComeBackAndTrafficGoesOn()
    {
        NetworkNamespace third = await _lab.AddHostAsync(3);
        _lab.IssueNode("node-c", TimeSpan.FromSeconds(15));
        RunningProcess node = await _lab.StartNodeAsync(third, "node-c", "c");
        string a = await ControlledLab.AddressAsync(_a, "ovl42");
        string c = await ControlledLab.AddressAsync(third, "ovl42");
        await ControlledLab.ReachesAsync(third, c, a);
        using RunningProcess flow = third.Start(["ping", "-n", "-q", "-i", "0.05", "-W", "1", "-I", c, a]);

        await node.WaitForTextAsync("controller 192.0.2.100:7443: the certificate of node 'node-c' expired on ", ControlledLab.Deadline);
        await _lab.WaitForControllerTextAsync("the certificate of node 'node-c' expired on ");
        await ControlledLab.UntilAsync(async () => (await _lab.AdministerAsync("node", "list")).Contains("lost", StringComparison.Ordinal), "the node is taken for lost");
        await _lab.PkiAsync("rotate");
        await _lab.PkiAsync("controller", "ctl", "--host", "192.0.2.100");
        foreach (string name in new[] { "node-a", "node-b", "node-c" }) await _lab.PkiAsync("node", name);
        await ControlledLab.UntilAsync(async () => !(await _lab.AdministerAsync("node", "list")).Contains("lost", StringComparison.Ordinal), "the node is back");
        await _lab.PkiAsync("rotate", "--finish");
        // Its connection is by a certificate of the authority that was given up.
        await ControlledLab.UntilAsync(() => Task.FromResult(_daemonA.Errors.Split("registered with controller").Length > 2), "registration by the new certificate");
        await _lab.AdministerAsync("network", "create", "late", "--vni", "43", "--pool", "10.245.0.0/16");
        await ControlledLab.ReachesAsync(third, await ControlledLab.AddressAsync(third, "ovl43"), await ControlledLab.AddressAsync(_a, "ovl43"));
        await ControlledLab.UntilAsync(async () => !(await _lab.AdministerAsync("node", "list")).Contains("lost", StringComparison.Ordinal), "all nodes are back");

        flow.Signal(Libc.SignalInterrupt);
        Assert.Equal(0, await flow.WaitForExitAsync(ControlledLab.Deadline));
        Match counts = Regex.Match(flow.Output, "([0-9]+) packets transmitted, ([0-9]+) received");
        int lost = int.Parse(counts.Groups[1].Value, CultureInfo.InvariantCulture) - int.Parse(counts.Groups[2].Value, CultureInfo.InvariantCulture);
        Assert.True(lost <= 1, $"more than what was under way in the end was lost: {flow.Output}");
    }

    [Fact]
    public async Task SecondMachine_OfTheSameName_IsRefusedClearlyAndTheFirstGoesOn()
    {
        string a = await ControlledLab.AddressAsync(_a, "ovl42");
        string b = await ControlledLab.AddressAsync(_b, "ovl42");
        NetworkNamespace third = await _lab.AddHostAsync(3);

        RunningProcess second = await _lab.StartNodeAsync(third, "node-a", "second");
        await second.WaitForTextAsync("the name 'node-a' is that of machine", ControlledLab.Deadline);

        await ControlledLab.ReachesAsync(_b, b, a);
        Assert.Contains("192.0.2.1", await _lab.AdministerAsync("node", "show", "node-a"), StringComparison.Ordinal);
    }
}
