using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Tunnels;

/// <summary>RFC 7348, 5: without the I flag dropped, all reserved bits ignored.</summary>
internal readonly struct Vxlan : IEncapsulation
{
    /// <inheritdoc/>
    public static int MinHeaderLength => VxlanHeader.Length;

    /// <inheritdoc/>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out TunnelHeader header, out DropReason refusal)
    {
        header = new TunnelHeader { FrameStart = VxlanHeader.Length };
        refusal = DropReason.IngressMalformed;
        if (VxlanHeader.TryParse(datagram, out VxlanHeader vxlan) != WireStatus.Ok || !vxlan.HasVni) return false;
        header.Vni = vxlan.Vni;
        header.GroupPolicy = vxlan.GroupPolicy;
        return true;
    }

    /// <inheritdoc/>
    public static Segment? FindSegment(ForwardingSnapshot snapshot, in TunnelHeader header) => snapshot.FindSegment(header.Vni);

    /// <inheritdoc/>
    public static bool KnowsOptions(ReadOnlySpan<byte> datagram, Segment segment) => true;

    /// <inheritdoc/>
    public static WireStatus TryParseInner(ReadOnlySpan<byte> frame, in TunnelHeader header, out InnerPacket packet) =>
        InnerPacket.TryParse(frame, out packet);

    /// <inheritdoc/>
    public static DropReason? Refusal(ReadOnlySpan<byte> frame, in InnerPacket packet, ForwardingSnapshot snapshot) => null;
}
