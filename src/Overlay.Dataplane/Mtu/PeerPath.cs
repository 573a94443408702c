namespace Overlay.Dataplane.Mtu;

/// <summary>
/// What is known of the way to a peer: how large a packet it carries. One object a peer, shared by all snapshots and threads; written by the
/// agent, read once a packet.
/// </summary>
public sealed class PeerPath
{
    /// <summary>Nothing is known: nothing is too big.</summary>
    public const int Unlimited = int.MaxValue;

    private volatile int _mtu = Unlimited;

    /// <summary>Path MTU: most bytes of an outer IP packet.</summary>
    public int Mtu
    {
        get => _mtu;
        set => _mtu = value;
    }
}
