using System.Net;
using System.Net.Sockets;
using Overlay.Rpc.Control;
using Overlay.Wire;

namespace Overlay.Agent.Control;

/// <summary>
/// Looks at what controllers tell before anything goes by it. They may be of another version than this node: what this one does not know is passed over,
/// and what it cannot take is left out and told, but for the rest the node goes on.
/// </summary>
internal static class ToldChange
{
    private const int MostBlockBits = 16;

    /// <summary>Whether something is gone. A kind of thing that this version does not know has no value that it can see either, and is there.</summary>
    public static bool IsDeletion(Change change) => change.ValueCase == Change.ValueOneofCase.None && change.Equals(new Change { Key = change.Key });

    /// <returns>Why this version cannot take it; null: it can.</returns>
    public static string? Problem(Change change)
    {
        string? wrong = change.ValueCase switch
        {
            Change.ValueOneofCase.Network => Wrong(change.Network),
            Change.ValueOneofCase.Node => change.Node.Underlay.FirstOrDefault(text => !IPAddress.TryParse(text, out _)) is { } text ? $"the underlay address '{text}'" : null,
            Change.ValueOneofCase.Block => Wrong(change.Block.Prefix) ?? TooLarge(IPNetwork.Parse(change.Block.Prefix)),
            Change.ValueOneofCase.Reservation => IPAddress.TryParse(change.Reservation.Address, out _) ? null : $"the address '{change.Reservation.Address}'",
            Change.ValueOneofCase.Route => Wrong(change.Route.Prefix),
            _ => null,
        };
        return wrong is null ? null : $"the controllers tell of {change.Key}, which has {wrong}, and this version of overlayd takes none such: it is left out; upgrade this node";
    }

    private static string? Wrong(Network network) =>
        network.Encapsulation is not ("vxlan" or "geneve") ? $"the encapsulation '{network.Encapsulation}'"
        : network.Vni > VxlanHeader.MaxVni ? $"the VNI {network.Vni}"
        : network.Pools.SelectMany(pool => pool.Excluded.Append(pool.Prefix)).Select(Wrong).FirstOrDefault(each => each is not null);

    private static string? TooLarge(IPNetwork block) =>
        (block.BaseAddress.AddressFamily == AddressFamily.InterNetworkV6 ? 128 : 32) - block.PrefixLength > MostBlockBits ? $"more than {1 << MostBlockBits} addresses" : null;

    private static string? Wrong(string prefix) => IPNetwork.TryParse(prefix, out _) ? null : $"the prefix '{prefix}'";
}
