using System.Net;

namespace Overlay.Agent.Planning;

/// <summary>How the host's routes reach a peer.</summary>
/// <param name="Interface">Interface that packets to it leave by.</param>
/// <param name="Mtu">Most bytes of an outer IP packet: the interface's MTU, or less where the route says so.</param>
internal sealed record PeerWay(string Interface, int Mtu);

/// <summary>Finds the way to a peer's underlay address; null where no route leads there now.</summary>
internal delegate PeerWay? PeerWayFinder(IPAddress peer, UnderlayPlan underlay);
