using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Overlay.Rpc.Control;

namespace Overlay.Cli.Control;

/// <summary><c>overlay network</c>: the networks that the controller knows.</summary>
internal static class NetworkCommand
{
    /// <summary>What the controller calls the MTU that each node finds by itself.</summary>
    private const int AutoMtu = 0;

    public static Command Create(TextWriter output, TextWriter errors)
    {
        var commands = new ControllerCommand(output, errors);
        return new Command("network", "Networks: create, list, show, widen and delete them.")
        {
            CreateCreate(commands), CreateList(commands), CreateShow(commands, errors), CreateAddPool(commands), CreateSetMtu(commands), CreateDelete(commands), CreateAddRoute(commands), CreateDeleteRoute(commands),
        };
    }

    private static Command CreateCreate(ControllerCommand commands)
    {
        Argument<string> name = Name();
        var vni = new Option<uint>("--vni") { Description = "24-bit virtual network identifier.", HelpName = "N", Required = true };
        var pools = new Option<Pool[]>("--pool")
        {
            Description = "Prefix of which nodes lease blocks, and the length of these: 10.244.0.0/16 or 10.244.0.0/16:24; may be repeated.",
            HelpName = "PREFIX[:LENGTH]",
            Required = true,
            CustomParser = ParsePools,
        };
        var excluded = new Option<string[]>("--exclude") { Description = "Prefix of a pool that is given to nobody; may be repeated.", HelpName = "PREFIX", DefaultValueFactory = _ => [] };
        var encapsulation = new Option<string>("--encapsulation") { Description = "vxlan or geneve.", HelpName = "NAME", DefaultValueFactory = _ => "vxlan" };
        var mtu = new Option<int>("--mtu")
        {
            Description = "Bytes of an inner IP packet, or auto: what each node's ways to the others leave, less the headers.",
            HelpName = "auto|BYTES",
            CustomParser = ParseMtu,
            DefaultValueFactory = _ => AutoMtu,
        };
        var borrow = new Option<bool>("--borrow") { Description = "When all blocks are leased, nodes lend each other parts of theirs; default: never." };
        return commands.Change("create", "Create a network.", [name, vni, pools, excluded, encapsulation, mtu, borrow], "CreateNetwork", (parsed, dryRun) =>
        {
            var network = new Network
            {
                Name = parsed.GetValue(name),
                Vni = parsed.GetValue(vni),
                Encapsulation = parsed.GetValue(encapsulation),
                Mtu = parsed.GetValue(mtu),
                Borrowing = parsed.GetValue(borrow),
                Pools = { parsed.GetValue(pools) },
            };
            foreach (string prefix in parsed.GetValue(excluded)!) PoolOf(network.Pools, prefix).Excluded.Add(prefix);
            return new CreateNetworkRequest { Network = network, DryRun = dryRun };
        });
    }

    private static Command CreateList(ControllerCommand commands) => commands.Ask<GetStateRequest, GetStateResponse>(
        "list", "List the networks.", [], "GetState", _ => new GetStateRequest(), (_, state, output) =>
        {
            var table = new TextTable(
                TextTable.Text("NAME"), TextTable.Number("VNI"), TextTable.Text("ENCAPSULATION"), TextTable.Text("MTU"), TextTable.Text("POOLS"), TextTable.Number("BLOCKS"));
            foreach (Network network in state.Networks)
            {
                table.Add(
                    network.Name, network.Vni.ToString(CultureInfo.InvariantCulture), network.Encapsulation, Mtu(network), string.Join(", ", network.Pools.Select(pool => pool.Prefix)),
                    state.Blocks.Count(block => block.Network == network.Name && block.Holder.Length > 0).ToString(CultureInfo.InvariantCulture));
            }
            return Print(table, state.Networks.Count, "no network; make one with 'overlay network create'", output);
        }, (_, state) => StateParts.Networks(state));

    private static Command CreateShow(ControllerCommand commands, TextWriter errors)
    {
        Argument<string> name = Name();
        return commands.Ask<GetStateRequest, GetStateResponse>("show", "Show a network with its pools, reservations and static routes.", [name], "GetState", _ => new GetStateRequest(), (parsed, state, output) =>
        {
            string wanted = parsed.GetValue(name)!;
            if (state.Networks.FirstOrDefault(network => network.Name == wanted) is not { } found)
            {
                errors.WriteLine($"overlay: there is no network '{wanted}'; 'overlay network list' lists them");
                return 1;
            }
            output.WriteLine($"{found.Name}: VNI {found.Vni}, {found.Encapsulation}, MTU {Mtu(found)}{(found.Borrowing ? ", nodes borrow" : "")}");
            foreach (Pool pool in found.Pools)
                output.WriteLine($"  pool {pool.Prefix} in blocks of /{pool.BlockLength}{(pool.Excluded.Count > 0 ? $", without {string.Join(", ", pool.Excluded)}" : "")}");
            foreach (IGrouping<string, Block> holder in state.Blocks.Where(block => block.Network == wanted && block.Holder.Length > 0).GroupBy(block => block.Holder))
                output.WriteLine($"  node {holder.Key} holds {string.Join(", ", holder.Select(block => block.Prefix))}");
            foreach (Reservation reservation in state.Reservations.Where(each => each.Network == wanted))
                output.WriteLine($"  {reservation.Address} is reserved for {reservation.Owner} since {Times.Of(reservation.Since)}");
            foreach (StaticRoute route in state.Routes.Where(each => each.Network == wanted)) output.WriteLine($"  route {route.Prefix} to node {route.Node}");
            return 0;
        }, (parsed, state) => StateParts.Network(state, parsed.GetValue(name)!));
    }

    private static Command CreateAddPool(ControllerCommand commands)
    {
        Argument<string> name = Name();
        var pool = new Argument<Pool[]>("PREFIX[:LENGTH]") { Description = "Prefix and length of its blocks.", CustomParser = ParsePools };
        var excluded = new Option<string[]>("--exclude") { Description = "Prefix of it that is given to nobody; may be repeated.", HelpName = "PREFIX", DefaultValueFactory = _ => [] };
        return commands.Change("add-pool", "Give a network one more pool.", [name, pool, excluded], "AddPool", (parsed, dryRun) =>
        {
            Pool added = parsed.GetValue(pool)![0];
            added.Excluded.AddRange(parsed.GetValue(excluded)!);
            return new AddPoolRequest { Network = parsed.GetValue(name), Pool = added, DryRun = dryRun };
        });
    }

    private static Command CreateSetMtu(ControllerCommand commands)
    {
        Argument<string> name = Name();
        var mtu = new Argument<int>("auto|BYTES") { Description = "Bytes of an inner IP packet, or auto. Where a number does not fit a node, the node takes what fits and warns.", CustomParser = ParseMtu };
        return commands.Change("set-mtu", "Change the MTU of a network on all nodes.", [name, mtu], "SetMtu", (parsed, dryRun) =>
            new SetMtuRequest { Network = parsed.GetValue(name), Mtu = parsed.GetValue(mtu), DryRun = dryRun });
    }

    private static Command CreateDelete(ControllerCommand commands)
    {
        Argument<string> name = Name();
        var force = new Option<bool>("--force") { Description = "Although nodes hold blocks of it." };
        return commands.Change("delete", "Delete a network with all that belongs to it.", [name, force], "DeleteNetwork", (parsed, dryRun) =>
            new DeleteNetworkRequest { Name = parsed.GetValue(name), Force = parsed.GetValue(force), DryRun = dryRun });
    }

    private static Command CreateAddRoute(ControllerCommand commands)
    {
        Argument<string> name = Name();
        var prefix = new Argument<string>("PREFIX") { Description = "Destinations outside the pools." };
        var node = new Argument<string>("NODE") { Description = "The node they live behind." };
        return commands.Change("add-route", "Route a prefix to a node.", [name, prefix, node], "AddRoute", (parsed, dryRun) => new AddRouteRequest
        {
            Route = new StaticRoute { Network = parsed.GetValue(name), Prefix = parsed.GetValue(prefix), Node = parsed.GetValue(node) },
            DryRun = dryRun,
        });
    }

    private static Command CreateDeleteRoute(ControllerCommand commands)
    {
        Argument<string> name = Name();
        var prefix = new Argument<string>("PREFIX") { Description = "Destinations of the route." };
        return commands.Change("delete-route", "Take a static route back.", [name, prefix], "DeleteRoute", (parsed, dryRun) => new DeleteRouteRequest
        {
            Route = new StaticRoute { Network = parsed.GetValue(name), Prefix = parsed.GetValue(prefix) },
            DryRun = dryRun,
        });
    }

    private static Argument<string> Name() => new("NETWORK") { Description = "Name of the network." };

    public static string Mtu(Network network) => network.Mtu == AutoMtu ? "auto" : network.Mtu.ToString(CultureInfo.InvariantCulture);

    /// <summary>The pool that an excluded prefix is in, or else the first, where the controller refuses it with a reason.</summary>
    private static Pool PoolOf(IEnumerable<Pool> pools, string prefix)
    {
        bool known = System.Net.IPNetwork.TryParse(prefix, out System.Net.IPNetwork excluded);
        return pools.FirstOrDefault(pool => known && System.Net.IPNetwork.TryParse(pool.Prefix, out System.Net.IPNetwork inside) && inside.Contains(excluded.BaseAddress)) ?? pools.First();
    }

    private static int ParseMtu(ArgumentResult argument)
    {
        string text = argument.Tokens.Single().Value;
        if (text == "auto") return AutoMtu;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int mtu) && mtu != AutoMtu) return mtu;
        argument.AddError($"'{text}' is no MTU; write auto, or a number of bytes such as 1400");
        return AutoMtu;
    }

    private static Pool[] ParsePools(ArgumentResult argument)
    {
        var pools = new List<Pool>();
        foreach (Token token in argument.Tokens)
        {
            int slash = token.Value.IndexOf('/', StringComparison.Ordinal);
            int colon = slash < 0 ? -1 : token.Value.IndexOf(':', slash);
            int length = 0;
            if (slash < 0 || (colon > 0 && !int.TryParse(token.Value[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out length)))
                argument.AddError($"'{token.Value}' is no pool; write it as 10.244.0.0/16, or 10.244.0.0/16:24 with the length of its blocks");
            pools.Add(new Pool { Prefix = colon < 0 ? token.Value : token.Value[..colon], BlockLength = length });
        }
        return [.. pools];
    }

    public static int Print(TextTable table, int rows, string nothing, TextWriter output)
    {
        if (rows == 0) output.WriteLine(nothing);
        else table.Write(output);
        return 0;
    }
}
