using System.Net;

namespace Overlay.Agent.Planning;

/// <summary>How the host's routes reach a peer.</summary>
/// <param name="Interface">Interface that packets to it leave by.</param>
/// <param name="Mtu">Most bytes of an outer IP packet: the interface's MTU, or less where the route says so.</param>
internal sealed record PeerWay(string Interface, int Mtu)
{
    /// <summary>
    /// <see cref="Interface"/> is a device of ours, from which packets to the peer would come back to us: none is sent. Nothing is known of
    /// what a way out would carry, so <see cref="Mtu"/> is the underlay's.
    /// </summary>
    public bool LeadsBack { get; init; }
}

/// <summary>Finds the way to a peer's underlay address; null where no route leads there now.</summary>
internal delegate PeerWay? PeerWayFinder(IPAddress peer, UnderlayPlan underlay);
