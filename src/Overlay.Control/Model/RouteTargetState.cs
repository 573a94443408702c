using System.Globalization;
using Overlay.Dataplane.Forwarding;

namespace Overlay.Control.Model;

/// <summary>A peer of a route with several.</summary>
/// <param name="Name">Of a <see cref="PeerState"/>.</param>
/// <param name="Weight">Its share of the flows is its part of the sum; 1 to <see cref="MostWeight"/>.</param>
public readonly record struct WeightedPeer(string Name, int Weight = 1)
{
    public const int MostWeight = 256;

    public override string ToString() => Weight == 1 ? Name : string.Create(CultureInfo.InvariantCulture, $"{Name} x{Weight}");
}

/// <summary>Whether packets of a route go to its peer without a tunnel.</summary>
public enum DirectMode : byte
{
    /// <summary>Always through the tunnel.</summary>
    Never,

    /// <summary>Directly while the peer is on a subnet of the underlay's interface, else through the tunnel.</summary>
    CrossSubnet,

    /// <summary>Directly; while the peer is on no such subnet, its destinations are unreachable.</summary>
    HostGateway,
}

/// <summary>What a route does with packets. Routes share these; two that say the same are equal.</summary>
public sealed class RouteTargetState : IEquatable<RouteTargetState>
{
    private RouteTargetState(RouteAction action, IReadOnlyList<WeightedPeer> peers, DirectMode direct, string text)
    {
        Action = action;
        Peers = peers;
        Direct = direct;
        Text = text;
    }

    public static RouteTargetState Local { get; } = new(RouteAction.Local, [], DirectMode.Never, "local");

    public static RouteTargetState Blackhole { get; } = new(RouteAction.Blackhole, [], DirectMode.Never, "blackhole");

    public static RouteTargetState Unreachable { get; } = new(RouteAction.Unreachable, [], DirectMode.Never, "unreachable");

    public static RouteTargetState Prohibit { get; } = new(RouteAction.Prohibit, [], DirectMode.Never, "prohibit");

    public RouteAction Action { get; }

    /// <summary>One for <see cref="RouteAction.Peer"/>, several for <see cref="RouteAction.Group"/>, else none.</summary>
    public IReadOnlyList<WeightedPeer> Peers { get; }

    public DirectMode Direct { get; }

    /// <summary>As people are shown it: <c>node-b</c>, <c>node-b, node-c x2</c>, <c>blackhole</c>.</summary>
    public string Text { get; }

    /// <summary>To one peer.</summary>
    public static RouteTargetState To(string peer, DirectMode direct = DirectMode.Never) =>
        new(RouteAction.Peer, [new WeightedPeer(peer)], direct, peer);

    /// <summary>To several peers, through the tunnel. Their order does not matter.</summary>
    public static RouteTargetState To(IEnumerable<WeightedPeer> peers)
    {
        WeightedPeer[] sorted = [.. peers.OrderBy(peer => peer.Name, StringComparer.Ordinal)];
        return sorted.Length == 1 ? To(sorted[0].Name) : new(RouteAction.Group, sorted, DirectMode.Never, string.Join(", ", sorted));
    }

    public bool Equals(RouteTargetState? other) =>
        ReferenceEquals(this, other) || (other is not null && Action == other.Action && Direct == other.Direct && Text == other.Text);

    public override bool Equals(object? obj) => Equals(obj as RouteTargetState);

    public override int GetHashCode() => HashCode.Combine(Action, Direct, Text);

    public override string ToString() => Text;
}
