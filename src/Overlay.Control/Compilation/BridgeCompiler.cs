using Overlay.Control.Model;
using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Control.Compilation;

/// <summary>Turns the state of a bridged segment into what its frames are forwarded by.</summary>
internal static class BridgeCompiler
{
    /// <param name="segment">Its <see cref="SegmentState.Bridging"/> is not null.</param>
    /// <param name="peers">By name.</param>
    /// <param name="previous">The segment's bridge in force, whose learned addresses and numbers are carried on; or null.</param>
    public static Bridge Compile(SegmentState segment, IReadOnlyDictionary<string, Peer> peers, Bridge? previous)
    {
        BridgingState state = segment.Bridging!;
        var numbers = new Dictionary<string, int>();
        int last = previous?.LastNumber ?? MacTable.Local;
        foreach (string name in peers.Keys)
        {
            if (previous is not null && previous.Numbers.TryGetValue(name, out int number)) numbers.Add(name, number);
        }
        foreach (string name in peers.Keys.Order(StringComparer.Ordinal))
        {
            if (numbers.ContainsKey(name)) continue;
            // A number is given again only after all others were, when nothing learned of its former peer is left.
            do last = (last % MacTable.MaxLocation) + 1;
            while (numbers.ContainsValue(last));
            numbers.Add(name, last);
        }
        return new Bridge(
            segment.DeviceMac,
            [.. peers.Values.Select(peer => (numbers[peer.Name], peer, peer.At(segment.PeerPort ?? peer.Endpoint.Port, peer.Mac)))],
            (state.Flood ?? [.. peers.Keys.Order(StringComparer.Ordinal)]).Select(name => numbers[name]),
            state.Fixed.Select(each => (each.Mac, each.Peer is { } peer ? numbers[peer] : MacTable.Local)),
            state.Neighbours.Select(each => (IpBits.V6OrMapped(each.Address), each.Neighbour)))
        {
            Learned = state.Learns ? Learned(state.LearnLimit, previous?.Learned) : null,
            LearnedNeighbours = state is { Learns: true, LearnsNeighbours: true } ? Neighbours(state.LearnLimit, previous?.LearnedNeighbours) : null,
            AgeingSeconds = state.AgeingSeconds,
            ForwardsReserved = state.ForwardsReserved,
            FloodsUnknown = state.FloodsUnknown,
            FloodsUnknownNeighbours = state.FloodsUnknownNeighbours,
            LastNumber = last,
        };
    }

    private static NeighbourTable Neighbours(int limit, NeighbourTable? previous) =>
        previous is null ? new NeighbourTable(limit) : previous.Limit == limit ? previous : previous.WithLimit(limit);

    private static MacTable Learned(int limit, MacTable? previous) =>
        previous is null ? new MacTable(limit) : previous.Limit == limit ? previous : previous.WithLimit(limit);
}
