using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;

namespace Overlay.Dataplane.Egress;

/// <content>Packets that no route sends to a peer.</content>
public sealed partial class EgressPath
{
    /// <summary>Drops a packet, and tells its sender why unless the route is a blackhole (RFC 1812, 5.2.7.1; RFC 4443, 3.1).</summary>
    /// <param name="value">What the lookup returned.</param>
    private bool Unroutable(
        ReadOnlySpan<byte> bytes, in InnerPacket packet, int value, int segments, long innerBytes, GatherBatch answers, QueueCounters counters)
    {
        (DropReason reason, IcmpError? error) = Refusal(value);
        if (error is { } told) Tell(bytes, packet, told, answers, counters);
        return Drop(reason, segments, innerBytes, counters);
    }

    private static (DropReason Reason, IcmpError? Error) Refusal(int value) => value == RouteTable.NoRoute
        ? (DropReason.EgressNoRoute, IcmpError.NoRoute)
        : RouteTarget.Of(value).Action switch
        {
            RouteAction.Local => (DropReason.EgressRouteLocal, IcmpError.HostUnreachable),
            RouteAction.Unreachable => (DropReason.EgressRouteUnreachable, IcmpError.HostUnreachable),
            RouteAction.Prohibit => (DropReason.EgressRouteProhibited, IcmpError.Prohibited),
            _ => (DropReason.EgressRouteBlackhole, null),
        };
}
