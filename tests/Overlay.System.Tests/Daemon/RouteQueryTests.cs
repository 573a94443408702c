using System.Text.Json;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Daemon;

/// <summary><c>overlay routes</c>, <c>overlay route get</c> and <c>overlay peers</c> of a running daemon.</summary>
public sealed class RouteQueryTests
{
    [Fact]
    public async Task RouteGet_RunningDaemon_AnswersByTheRoutesInForce()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        RunningProcess daemon = await node.StartAsync();

        CommandResult v4 = await AskAsync(node, "route", "get", "10.244.2.9");
        Assert.Equal((0, "node-b pods 192.0.2.2:4789 vxlan from overlay0 1450 configured line 15 10 0 the only one to its prefix"), (v4.ExitCode, Row(v4, "10.244.2.0/24")));
        CommandResult v6 = await AskAsync(node, "route", "get", "fd00:244:2::9", "--segment", "pods");
        Assert.Equal((0, "node-b pods 192.0.2.2:4789 vxlan from overlay0 1450 configured line 16 10 0 the only one to its prefix"), (v6.ExitCode, Row(v6, "fd00:244:2::/64")));
        CommandResult none = await AskAsync(node, "route", "get", "10.244.3.9", "--json");
        Assert.Equal((1, "overlay: no route to 10.244.3.9"), (none.ExitCode, none.Errors.TrimEnd()));
        CommandResult unknown = await AskAsync(node, "route", "get", "10.244.2.9", "--segment", "lab");
        Assert.Equal((1, "overlay: there is no segment 'lab'; 'overlay status' lists them"), (unknown.ExitCode, unknown.Errors.TrimEnd()));
        Assert.Equal("node-b pods never configured line 15 10 0 the only one to its prefix", Row(await AskAsync(node, "routes"), "10.244.2.0/24"));
        Assert.StartsWith("192.0.2.3:4789", Row(await AskAsync(node, "peers"), "node-c"), StringComparison.Ordinal);

        using JsonDocument routes = JsonDocument.Parse((await AskAsync(node, "routes", "--json")).Output);
        JsonElement route = routes.RootElement.GetProperty("routes").EnumerateArray().Single(each => each.GetProperty("prefix").GetString() == "10.244.2.0/24");
        Assert.Equal(
            ("configured", 15, 10, true, "the only one to its prefix"),
            (route.GetProperty("source").GetString(), route.GetProperty("line").GetInt32(), route.GetProperty("priority").GetInt32(),
                route.GetProperty("inForce").GetBoolean(), route.GetProperty("reason").GetString()));
        using JsonDocument peers = JsonDocument.Parse((await AskAsync(node, "peers", "--json")).Output);
        JsonElement peer = peers.RootElement.EnumerateArray().Single(each => each.GetProperty("name").GetString() == "node-c");
        Assert.Equal(("192.0.2.3:4789", 1500), (peer.GetProperty("endpoint").GetString(), peer.GetProperty("path").GetProperty("mtu").GetInt32()));

        // A longer prefix within.
        node.Write(LoneNode.Configuration.Replace("routes:", "routes:\n  - { prefix: 10.244.2.8/29, peer: node-c }", StringComparison.Ordinal));
        await LoneNode.ReloadAsync(daemon, "reloaded: revision 2, 2 peers, 3 routes");

        using JsonDocument found = JsonDocument.Parse((await AskAsync(node, "route", "get", "10.244.2.9", "--json")).Output);
        Assert.Equal(2, found.RootElement.GetProperty("revision").GetInt32());
        JsonElement match = Assert.Single(found.RootElement.GetProperty("matches").EnumerateArray());
        Assert.Equal(("10.244.2.8/29", "node-c"), (match.GetProperty("route").GetProperty("prefix").GetString(), match.GetProperty("peer").GetString()));
    }

    private static Task<CommandResult> AskAsync(LoneNode node, params string[] arguments) =>
        Command.RunAsync(LoneNode.Deadline, null, Repository.Client, [.. arguments, "--socket", node.Socket]);

    /// <summary>What stands behind the first cell, with single spaces.</summary>
    private static string Row(CommandResult result, string first)
    {
        string[] cells = result.Output.Split('\n').Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .First(cells => cells.Length > 0 && cells[0] == first);
        return string.Join(' ', cells.Skip(1));
    }
}
