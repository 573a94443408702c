using Overlay.Dataplane.Tunnels;

namespace Overlay.Linux.Underlay;

/// <summary>A UDP port that one encapsulation is received on.</summary>
public readonly record struct TunnelPort(ushort Port, Encapsulation Encapsulation);
