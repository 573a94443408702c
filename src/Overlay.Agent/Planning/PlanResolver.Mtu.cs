using System.Net.Sockets;
using Overlay.Agent.Configuration;
using Overlay.Dataplane.Tunnels;

namespace Overlay.Agent.Planning;

/// <content>MTUs of devices, from what the ways to the peers carry.</content>
internal sealed partial class PlanResolver
{
    private void FindWays(UnderlayPlan underlay)
    {
        if (findWay is null) return;
        foreach (PeerOptions peer in options.Peers)
        {
            if (findWay(peer.Address, underlay) is { } way) _ways.Add(peer.Name, way);
        }
    }

    /// <summary>What a segment's device gets, and what there is to say of it.</summary>
    private (int Mtu, string? Warning) ResolveMtu(SegmentOptions segment, TunnelFormat tunnel, UnderlayPlan underlay, bool carriesIPv6)
    {
        (int room, string reckoning) = DeviceMtu.Room(
            tunnel, underlay, options.Peers.Select(peer => (peer.Name.Value, peer.Address.Value.AddressFamily == AddressFamily.InterNetworkV6)), _ways);
        int least = carriesIPv6 ? SegmentOptions.LeastIPv6Mtu : SegmentOptions.LeastMtu;
        int most = Math.Clamp(room, least, SegmentOptions.MostMtu);
        // The host's bridge drops what a port is too small for and tells nobody; senders are told here, packet by packet.
        if (segment.Bridging is not null && before?.Segments.FirstOrDefault(each => each.Name == segment.Name.Value) is { } running)
            most = Math.Max(most, running.Mtu);
        string? warning = null;
        if (room < SegmentOptions.LeastMtu)
        {
            warning = $"nothing fits segment '{segment.Name}': {reckoning}";
            if (before is null) problems.Add(segment.Name.Line, warning, $"raise it: at least {SegmentOptions.LeastMtu} are needed inside");
        }
        else if (room < least)
        {
            warning = DeviceMtu.TooLittleForIPv6(segment.Device, most, reckoning);
        }
        if (segment.Mtu is not { } mtu || mtu.Value <= most) return (segment.Mtu?.Value ?? most, warning);

        string misfit = $"mtu {mtu} of segment '{segment.Name}' does not fit: {reckoning}";
        if (WasInForce(segment, mtu.Value)) return (most, DeviceMtu.Lessened(misfit, segment.Device, most));
        problems.Add(mtu.Line, misfit, $"write at most {most}, or leave it out");
        return (most, null);
    }

    private bool WasInForce(SegmentOptions segment, int mtu) =>
        before?.Options.Segments.FirstOrDefault(each => each.Name.Value == segment.Name.Value)?.Mtu?.Value == mtu;
}
