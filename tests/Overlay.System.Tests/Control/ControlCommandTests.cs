using System.Text.Json;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Control;

/// <summary>What administrators call, and what a running node makes of it.</summary>
public sealed class ControlCommandTests : IAsyncLifetime
{
    private static readonly string[][] Questions =
    [
        ["network", "list"], ["network", "show", "pods"], ["node", "list"], ["node", "show", "node-a"], ["ipam", "show"], ["ipam", "pools"], ["ipam", "blocks"],
        ["ipam", "check"],
    ];

    private static readonly string[][] Changes =
    [
        ["network", "create", "other", "--vni", "50", "--pool", "10.90.0.0/16:24", "--exclude", "10.90.3.0/24", "--borrow"],
        ["network", "add-pool", "pods", "10.91.0.0/16"], ["network", "set-mtu", "pods", "1400"], ["network", "add-route", "pods", "10.92.0.0/16", "node-a"], ["network", "delete", "pods", "--force"],
        ["node", "drain", "node-a"], ["node", "remove", "node-a", "--force"], ["ipam", "reserve", "10.244.200.9", "--owner", "printer"],
    ];

    private ControlledLab _lab = null!;
    private NetworkNamespace _a = null!;

    public async Task InitializeAsync()
    {
        _lab = await ControlledLab.StartAsync();
        _a = await _lab.AddHostAsync(1);
        await _lab.StartNodeAsync(_a, "node-a", "a");
        await ControlledLab.AddressAsync(_a, "ovl42");
    }

    public async Task DisposeAsync() => await _lab.DisposeAsync();

    [Fact]
    public async Task Commands_WithJsonAndDryRun_AnswerProgramsAndChangeNothing()
    {
        string own = await ControlledLab.AddressAsync(_a, "ovl42");
        foreach (string[] question in Questions.Append(["ipam", "who", own]))
        {
            using JsonDocument answer = JsonDocument.Parse(await _lab.AdministerAsync([.. question, "--json"]));
            Assert.Equal(JsonValueKind.Object, answer.RootElement.ValueKind);
            Assert.NotEmpty(await _lab.AdministerAsync(question));
        }
        Assert.Equal(["networks", "blocks"], await PartsAsync("network", "show", "pods"));
        Assert.Equal(["nodes", "blocks"], await PartsAsync("node", "show", "node-a"));
        Assert.Equal(["blocks"], await PartsAsync("ipam", "blocks", "--node", "node-a"));
        Assert.Empty(await PartsAsync("ipam", "blocks", "--network", "none"));
        using (RunningProcess watch = _lab.Administer("network", "list", "--watch", "0.2"))
        {
            await Eventually.TrueAsync(() => Task.FromResult(watch.Output.Split("ENCAPSULATION").Length > 3), TimeSpan.FromSeconds(30), "three lists of networks");
            watch.Signal(Libc.SignalInterrupt);
            Assert.Equal(0, await watch.WaitForExitAsync(TimeSpan.FromSeconds(30)));
        }
        string before = await StateAsync();
        foreach (string[] change in Changes)
        {
            Assert.Contains("would ", await _lab.AdministerAsync([.. change, "--dry-run"]), StringComparison.Ordinal);
            using JsonDocument planned = JsonDocument.Parse(await _lab.AdministerAsync([.. change, "--dry-run", "--json"]));
            Assert.NotEqual(0, planned.RootElement.GetProperty("changes").GetArrayLength());
        }
        Assert.Equal(before, await StateAsync());
    }

    [Fact]
    public async Task SetMtu_WhileANodeRuns_IsFollowedAndCheckedAgainstItsUnderlay()
    {
        Assert.Contains("MTU auto", await _lab.AdministerAsync("network", "show", "pods"), StringComparison.Ordinal);
        await HasMtuAsync(1450);

        await _lab.AdministerAsync("network", "set-mtu", "pods", "1300");
        await HasMtuAsync(1300);
        Assert.Contains("MTU 1300", await _lab.AdministerAsync("network", "show", "pods"), StringComparison.Ordinal);
        await _lab.AdministerAsync("network", "set-mtu", "pods", "9000");
        await HasMtuAsync(1450);
        Assert.Contains("mtu 9000 of network ", (await _lab.StatusAsync("a")).ToString(), StringComparison.Ordinal);
        CommandResult small = await _lab.AskAsync("network", "set-mtu", "pods", "1279");
        Assert.Equal((1, true), (small.ExitCode, small.Errors.Contains("mtu: 1279 is not from 1280 to 65521", StringComparison.Ordinal)));
        Assert.NotEqual(0, (await _lab.AskAsync("network", "set-mtu", "pods", "big")).ExitCode);
        await _lab.AdministerAsync("network", "set-mtu", "pods", "auto");
        await _a.IpAsync("link set underlay0 mtu 1400");
        await HasMtuAsync(1350);

        await _lab.AdministerAsync("network", "create", "narrow", "--vni", "46", "--pool", "10.61.0.0/24", "--mtu", "1000");
        CommandResult wide = await _lab.AskAsync("network", "add-pool", "narrow", "fd00:61::/64");
        Assert.Equal((1, true), (wide.ExitCode, wide.Errors.Contains("mtu: 1000 is not from 1280", StringComparison.Ordinal)));

        Task HasMtuAsync(int mtu) => ControlledLab.UntilAsync(
            async () => (await _a.CheckAsync("ip", "link", "show", "ovl42")).Contains($" mtu {mtu} ", StringComparison.Ordinal), $"MTU {mtu} of ovl42");
    }

    [Fact]
    public async Task Changes_WhileANodeRuns_TakeEffectThereAndBack()
    {
        await _lab.AdministerAsync("network", "create", "wide", "--vni", "45", "--pool", "10.60.0.0/24");
        await ControlledLab.AddressAsync(_a, "ovl45");
        await _lab.AdministerAsync("network", "add-pool", "wide", "fd00:60::/64");
        await ControlledLab.UntilAsync(async () => (await _a.CheckAsync("ip", "-6", "-o", "address", "show", "dev", "ovl45")).Contains("fd00:60:", StringComparison.Ordinal), "an address of the added pool");

        await _lab.AdministerAsync("ipam", "reserve", "10.60.0.200", "--owner", "printer");
        Assert.Contains("reserved for printer", await _lab.AdministerAsync("ipam", "who", "10.60.0.200"), StringComparison.Ordinal);
        CommandResult taken = await _lab.AskAsync("ipam", "reserve", "10.60.0.200", "--owner", "scanner");
        Assert.Equal((1, true), (taken.ExitCode, taken.Errors.Contains("reserved for 'printer'; 'overlay ipam release 10.60.0.200' first", StringComparison.Ordinal)));
        await _lab.AdministerAsync("ipam", "release", "10.60.0.200");
        Assert.Equal(1, (await _lab.AskAsync("ipam", "who", "10.99.0.1")).ExitCode);

        await _lab.AdministerAsync("node", "drain", "node-a");
        await ControlledLab.UntilAsync(async () => !Holds(await _lab.AdministerAsync("ipam", "blocks")), "blocks of the drained node are back");
        await _lab.AdministerAsync("node", "drain", "node-a", "--undo");
        await ControlledLab.UntilAsync(async () => Holds(await _lab.AdministerAsync("ipam", "blocks")), "blocks of the node that serves again");

        CommandResult held = await _lab.AskAsync("network", "delete", "wide");
        Assert.Equal((1, true), (held.ExitCode, held.Errors.Contains("nodes hold blocks of network 'wide': node-a", StringComparison.Ordinal)));
        await _lab.AdministerAsync("network", "delete", "wide", "--force");
        await ControlledLab.UntilAsync(async () => (await _a.RunAsync(ControlledLab.Deadline, "ip", "link", "show", "ovl45")).ExitCode != 0, "the device of the deleted network is gone");
        Assert.Contains("no contradiction", await _lab.AdministerAsync("ipam", "check"), StringComparison.Ordinal);
    }

    /// <summary>The lists of an answer that have anything in them.</summary>
    private async Task<string[]> PartsAsync(params string[] question)
    {
        using JsonDocument answer = JsonDocument.Parse(await _lab.AdministerAsync([.. question, "--json"]));
        return [.. answer.RootElement.EnumerateObject().Where(member => member.Value is { ValueKind: JsonValueKind.Array } list && list.GetArrayLength() > 0).Select(member => member.Name)];
    }

    /// <summary>The third column of the table names the holder; the last those before it.</summary>
    private static bool Holds(string blocks) => blocks.Split('\n').Any(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [_, _, "node-a", ..]);

    private async Task<string> StateAsync() => await _lab.AdministerAsync("network", "show", "pods") + await _lab.AdministerAsync("node", "show", "node-a")
        + await _lab.AdministerAsync("network", "list") + await _lab.AdministerAsync("ipam", "check");
}
