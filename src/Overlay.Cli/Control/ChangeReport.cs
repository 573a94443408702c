using Overlay.Rpc.Control;

namespace Overlay.Cli.Control;

/// <summary>Says what a command changed, or would.</summary>
internal static class ChangeReport
{
    public static int Write(ChangeResponse response, bool dryRun, TextWriter output)
    {
        string verb = dryRun ? "would " : "";
        foreach (Change change in response.Changes) output.WriteLine($"  {verb}{Describe(change)}");
        if (response.Changes.Count == 0) output.WriteLine("  nothing to change");
        foreach (string warning in response.Warnings) output.WriteLine($"  warning: {warning}");
        return 0;
    }

    private static string Describe(Change change) => change.ValueCase switch
    {
        Change.ValueOneofCase.Network => $"set network {change.Network.Name}: VNI {change.Network.Vni}, {change.Network.Encapsulation}, MTU {NetworkCommand.Mtu(change.Network)}, {string.Join(", ", change.Network.Pools.Select(pool => $"{pool.Prefix} in blocks of /{pool.BlockLength}"))}",
        Change.ValueOneofCase.Node => $"set node {change.Node.Name}: {(change.Node.Draining ? "draining" : "serving")}",
        Change.ValueOneofCase.Block => $"free block {change.Block.Prefix} of network {change.Block.Network}",
        Change.ValueOneofCase.Reservation => $"reserve {change.Reservation.Address} of network {change.Reservation.Network} for {change.Reservation.Owner}",
        Change.ValueOneofCase.Route => $"route {change.Route.Prefix} of network {change.Route.Network} to node {change.Route.Node}",
        _ => $"delete {Name(change.Key)}",
    };

    private static string Name(string key)
    {
        string[] parts = key.Split('/');
        string what = parts[1] == "wishes" ? "wish" : parts[1].TrimEnd('s');
        return parts.Length < 4 ? $"{what} {parts[2]}" : $"{what} {parts[3].Replace('-', '/')} of network {parts[2]}";
    }
}
