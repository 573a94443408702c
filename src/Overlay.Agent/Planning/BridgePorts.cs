namespace Overlay.Agent.Planning;

/// <summary>Tells of ports of a bridge that send larger packets than a segment's device takes: the bridge drops them, and tells nobody.</summary>
internal static class BridgePorts
{
    /// <param name="segment">Name of the bridged segment.</param>
    /// <param name="mtu">Of its device.</param>
    /// <param name="bridge">The bridge that it is a port of.</param>
    /// <param name="others">The bridge's other ports.</param>
    /// <returns>What is wrong and what to do about it; null: nothing.</returns>
    public static (string Wrong, string Remedy)? TooLarge(string segment, int mtu, string bridge, IEnumerable<(string Name, int Mtu)> others)
    {
        (string Name, int Mtu)[] larger = [.. others.Where(port => port.Mtu > mtu).OrderBy(port => port.Name, StringComparer.Ordinal)];
        if (larger.Length == 0) return null;
        string ports = string.Join(", ", larger.Take(4).Select(port => $"{port.Name} ({port.Mtu})")) + (larger.Length > 4 ? $" and {larger.Length - 4} more" : "");
        return (
            $"bridge '{bridge}' has ports with a larger MTU than the {mtu} of segment '{segment}': {ports}; the bridge drops what is larger, and tells nobody",
            $"give them, and what is behind them, MTU {mtu}, or raise the underlay's");
    }
}
