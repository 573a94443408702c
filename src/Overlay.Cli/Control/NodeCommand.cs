using System.CommandLine;
using System.Globalization;
using Overlay.Rpc.Control;

namespace Overlay.Cli.Control;

/// <summary><c>overlay node</c>: the nodes that the controller knows.</summary>
internal static class NodeCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        var commands = new ControllerCommand(output, errors);
        var name = new Argument<string>("NODE") { Description = "Name of the node." };
        var undo = new Option<bool>("--undo") { Description = "Let it have blocks again." };
        var force = new Option<bool>("--force") { Description = "Although it is alive." };
        return new Command("node", "Nodes: list, show, drain and remove them.")
        {
            commands.Ask<GetStateRequest, GetStateResponse>("list", "List the nodes.", [], "GetState", _ => new GetStateRequest(), (_, state, to) => List(state, to), (_, state) => StateParts.Nodes(state)),
            commands.Ask<GetStateRequest, GetStateResponse>(
                "show", "Show a node with its blocks.", [name], "GetState", _ => new GetStateRequest(), (parsed, state, to) => Show(parsed.GetValue(name)!, state, to, errors),
                (parsed, state) => StateParts.Node(state, parsed.GetValue(name)!)),
            commands.Change("drain", "Give a node no more blocks; it gives back those it does not use.", [name, undo], "DrainNode", (parsed, dryRun) =>
                new DrainNodeRequest { Name = parsed.GetValue(name), Undo = parsed.GetValue(undo), DryRun = dryRun }),
            commands.Change("remove", "Forget a node that is gone for good, and free its blocks.", [name, force], "RemoveNode", (parsed, dryRun) =>
                new RemoveNodeRequest { Name = parsed.GetValue(name), Force = parsed.GetValue(force), DryRun = dryRun }),
        };
    }

    private static int List(GetStateResponse state, TextWriter output)
    {
        var table = new TextTable(
            TextTable.Text("NAME"), TextTable.Text("STATE"), TextTable.Text("UNDERLAY"), TextTable.Text("ZONE"), TextTable.Number("BLOCKS"), TextTable.Number("GENERATION"));
        foreach (Node node in state.Nodes)
        {
            table.Add(
                node.Name, StateOf(node), string.Join(", ", node.Underlay), node.Zone.Length == 0 ? "-" : node.Zone,
                state.Blocks.Count(block => block.Holder == node.Name).ToString(CultureInfo.InvariantCulture), node.Generation.ToString(CultureInfo.InvariantCulture));
        }
        return NetworkCommand.Print(table, state.Nodes.Count, "no node; overlayd with 'control:' in its configuration registers one", output);
    }

    private static int Show(string name, GetStateResponse state, TextWriter output, TextWriter errors)
    {
        if (state.Nodes.FirstOrDefault(node => node.Name == name) is not { } found)
        {
            errors.WriteLine($"overlay: there is no node '{name}'; 'overlay node list' lists them");
            return 1;
        }
        output.WriteLine($"{found.Name}: {StateOf(found)}{(found.LostSince > 0 ? $" since {Times.Of(found.LostSince)}" : "")}");
        output.WriteLine($"  machine {found.Machine}, generation {found.Generation}, registered {Times.Of(found.Registered)}");
        output.WriteLine($"  underlay {string.Join(", ", found.Underlay)}, MAC {found.Mac}{(found.Zone.Length > 0 ? $", zone {found.Zone}" : "")}");
        foreach ((string key, string value) in found.Labels.OrderBy(label => label.Key, StringComparer.Ordinal)) output.WriteLine($"  label {key}={value}");
        foreach (Block block in state.Blocks.Where(block => block.Holder == name)) output.WriteLine($"  {block.Network} {block.Prefix} since {Times.Of(block.Since)}");
        foreach (StaticRoute route in state.Routes.Where(route => route.Node == name)) output.WriteLine($"  route {route.Prefix} of network {route.Network}");
        return 0;
    }

    private static string StateOf(Node node) => node.LostSince > 0 ? "lost" : node.Draining ? "draining" : "alive";
}
