namespace Overlay.Dataplane.Forwarding;

/// <summary>What a route does with a packet.</summary>
public enum RouteAction : byte
{
    /// <summary>Sends it to a peer.</summary>
    Peer,

    /// <summary>Sends it to one peer of a group, chosen by the packet's flow.</summary>
    Group,

    /// <summary>The destination is on this node: whatever comes out of the device for it has no owner here, and its sender is told so.</summary>
    Local,

    /// <summary>Drops it silently.</summary>
    Blackhole,

    /// <summary>Drops it and tells the sender that the host is unreachable.</summary>
    Unreachable,

    /// <summary>Drops it and tells the sender that this is prohibited.</summary>
    Prohibit,
}

/// <summary>
/// What a <see cref="RouteTable"/> maps a prefix to, as a number: for a peer its index in <see cref="Segment.Peers"/>, so that the common case
/// costs one comparison; else the action above the index.
/// </summary>
/// <param name="Action">What is done.</param>
/// <param name="Index">Of the peer or the group among the segment's; 0 for other actions.</param>
public readonly record struct RouteTarget(RouteAction Action, int Index = 0)
{
    /// <summary>Most peers, and most groups, of a segment.</summary>
    public const int MostIndexes = 1 << IndexBits;

    /// <summary>What <see cref="Segment.PeerOf"/> gives where a route names no peer.</summary>
    public const int NoPeer = -1;

    private const int IndexBits = 20;

    /// <summary>For <see cref="RoutePrefix.Value"/>; 23 bits.</summary>
    public int Value => (int)Action << IndexBits | Index;

    /// <summary>The target of a number that a lookup returned: not <see cref="RouteTable.NoRoute"/>.</summary>
    public static RouteTarget Of(int value) => new((RouteAction)(value >> IndexBits), value & (MostIndexes - 1));
}
