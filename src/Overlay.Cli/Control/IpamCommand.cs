using System.CommandLine;
using System.Globalization;
using Overlay.Rpc.Control;

namespace Overlay.Cli.Control;

/// <summary><c>overlay ipam</c>: who has which addresses.</summary>
internal static class IpamCommand
{
    private const int NamedHolders = 3;

    public static Command Create(TextWriter output, TextWriter errors)
    {
        var commands = new ControllerCommand(output, errors);
        var network = new Option<string>("--network") { Description = "Only this network.", HelpName = "NAME", DefaultValueFactory = _ => "" };
        var node = new Option<string>("--node") { Description = "Only blocks that this node holds.", HelpName = "NAME", DefaultValueFactory = _ => "" };
        var address = new Argument<string>("ADDRESS") { Description = "IPv4 or IPv6 address." };
        var owner = new Option<string>("--owner") { Description = "Who has it.", HelpName = "TEXT", Required = true };
        return new Command("ipam", "Addresses: pools, blocks, who has what, reservations.")
        {
            commands.Ask<ShowPoolsRequest, ShowPoolsResponse>(
                "show", "Show how full the pools are, and until when they last.", [network], "ShowPools",
                parsed => new ShowPoolsRequest { Network = parsed.GetValue(network) }, (_, pools, to) => Show(pools, to)),
            commands.Ask<ShowPoolsRequest, ShowPoolsResponse>(
                "pools", "List the pools with their largest holders.", [network], "ShowPools",
                parsed => new ShowPoolsRequest { Network = parsed.GetValue(network) }, (_, pools, to) => Pools(pools, to)),
            commands.Ask<GetStateRequest, GetStateResponse>(
                "blocks", "List the blocks, their holders and what they were before.", [network, node], "GetState", _ => new GetStateRequest(),
                (parsed, state, to) => Blocks(StateParts.Blocks(state, parsed.GetValue(network)!, parsed.GetValue(node)!), to),
                (parsed, state) => StateParts.Blocks(state, parsed.GetValue(network)!, parsed.GetValue(node)!)),
            commands.Ask<WhoRequest, WhoResponse>(
                "who", "Say whose an address is; ends with 1 where it is nobody's.", [address], "Who",
                parsed => new WhoRequest { Address = parsed.GetValue(address) }, (parsed, who, to) => Who(parsed.GetValue(address)!, who, to)),
            commands.Change("reserve", "Keep an address from being handed out.", [address, owner, network], "Reserve", (parsed, dryRun) => new ReserveRequest
            {
                Address = parsed.GetValue(address), Owner = parsed.GetValue(owner), Network = parsed.GetValue(network), DryRun = dryRun,
            }),
            commands.Change("release", "Take a reservation back.", [address, network], "ReleaseReservation", (parsed, dryRun) => new ReleaseReservationRequest
            {
                Address = parsed.GetValue(address), Network = parsed.GetValue(network), DryRun = dryRun,
            }),
            NodeAddressCheck.Offer(
                commands.Ask<CheckRequest, CheckResponse>(
                    "check", "Look for contradictions in the state, or with --daemon on this node; ends with 1 where there are any.", [], "Check", _ => new CheckRequest(),
                    (_, found, to) => Check(found, to)),
                output, errors),
        };
    }

    private static int Show(ShowPoolsResponse response, TextWriter output)
    {
        var table = new TextTable(
            TextTable.Text("NETWORK"), TextTable.Text("POOL"), TextTable.Number("BLOCKS"), TextTable.Number("LEASED"), TextTable.Number("FREE"), TextTable.Number("EXCLUDED"),
            TextTable.Number("A DAY"), TextTable.Text("LASTS"));
        foreach (PoolUsage pool in response.Pools)
        {
            table.Add(
                pool.Network, pool.Prefix, $"{pool.Blocks} x /{pool.BlockLength}", pool.Leased, pool.Free, pool.Excluded,
                pool.LeasedADay.ToString("0.0", CultureInfo.InvariantCulture), Lasts(pool));
        }
        return NetworkCommand.Print(table, response.Pools.Count, "no pool; 'overlay network create' makes one", output);
    }

    private static string Lasts(PoolUsage pool) =>
        pool.Free == "0" ? "exhausted: add a pool (overlay network add-pool)"
        : pool.DaysLeft < 0 ? "does not grow"
        : pool.DaysLeft > 3650 ? "over 10 years"
        : $"{pool.DaysLeft.ToString("0.0", CultureInfo.InvariantCulture)} days at this pace";

    private static int Pools(ShowPoolsResponse response, TextWriter output)
    {
        var table = new TextTable(TextTable.Text("NETWORK"), TextTable.Text("POOL"), TextTable.Number("LEASED"), TextTable.Number("BLOCKS"), TextTable.Text("LARGEST HOLDERS"));
        foreach (PoolUsage pool in response.Pools)
        {
            string holders = string.Join(", ", pool.Holders.Take(NamedHolders).Select(holder => $"{holder.Node} {holder.Blocks}"));
            table.Add(pool.Network, pool.Prefix, pool.Leased, $"{pool.Blocks} x /{pool.BlockLength}", holders.Length == 0 ? "-" : holders);
        }
        return NetworkCommand.Print(table, response.Pools.Count, "no pool; 'overlay network create' makes one", output);
    }

    private static int Blocks(GetStateResponse state, TextWriter output)
    {
        var table = new TextTable(TextTable.Text("NETWORK"), TextTable.Text("BLOCK"), TextTable.Text("HOLDER"), TextTable.Text("SINCE"), TextTable.Text("BEFORE"));
        foreach (Block block in state.Blocks)
        {
            string before = string.Join(", ", block.History.Select(tenure => $"{tenure.Node} until {Times.Of(tenure.To)}"));
            table.Add(block.Network, block.Prefix, block.Holder.Length == 0 ? "(free)" : block.LentBy.Length > 0 ? $"{block.Holder} (lent by {block.LentBy})" : block.Holder, Times.Of(block.Since), before.Length == 0 ? "-" : before);
        }
        return NetworkCommand.Print(table, state.Blocks.Count, "no block was ever leased", output);
    }

    private static int Who(string address, WhoResponse response, TextWriter output)
    {
        foreach (Finding finding in response.Findings)
        {
            output.WriteLine($"{address} in network {finding.Network}: {(finding.Pool.Length > 0 ? $"pool {finding.Pool}" : "in no pool")}{(finding.Excluded ? ", excluded" : "")}");
            if (finding.Reservation is { } reservation) output.WriteLine($"  reserved for {reservation.Owner} since {Times.Of(reservation.Since)}");
            if (finding.Block is { } block)
            {
                output.WriteLine(block.Holder.Length > 0
                    ? $"  block {block.Prefix} of node {block.Holder}{(block.LentBy.Length > 0 ? $", lent by {block.LentBy}," : "")} since {Times.Of(block.Since)}"
                    : $"  block {block.Prefix} is free since {Times.Of(block.Since)}");
                foreach (Tenure tenure in block.History) output.WriteLine($"  before that of node {tenure.Node}, {Times.Of(tenure.From)} to {Times.Of(tenure.To)}");
            }
            if (finding.Node is { } node) output.WriteLine($"  node {node.Name} at {string.Join(", ", node.Underlay)}{(node.LostSince > 0 ? $", lost since {Times.Of(node.LostSince)}" : "")}");
            if (finding.Route is { } route) output.WriteLine($"  static route {route.Prefix} to node {route.Node}");
        }
        if (response.Findings.Count == 0) output.WriteLine($"{address} is in no pool, block or route of any network");
        return response.Findings.Any(finding => finding.Reservation is not null || finding.Block is { Holder.Length: > 0 } || finding.Route is not null) ? 0 : 1;
    }

    private static int Check(CheckResponse response, TextWriter output)
    {
        foreach (Problem problem in response.Problems) output.WriteLine($"  {problem.What}; {problem.Remedy}");
        output.WriteLine($"{response.Networks} networks, {response.Nodes} nodes, {response.Blocks} leased blocks, revision {response.Revision}: "
            + (response.Problems.Count == 0 ? "no contradiction" : $"{response.Problems.Count} contradictions"));
        return response.Problems.Count == 0 ? 0 : 1;
    }
}
