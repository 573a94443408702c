using System.Net;
using Overlay.Wire.Decoding;

namespace Overlay.PacketNet;

/// <summary>What both decoders read in a frame: the outermost tunnel, and the addresses within it. Null where there is none.</summary>
public sealed record TunnelFields(
    TunnelKind Tunnel,
    uint? Vni,
    byte? VxlanFlags,
    IPAddress? OuterSource,
    IPAddress? OuterDestination,
    ushort? OuterSourcePort,
    ushort? OuterDestinationPort,
    string? InnerEthernetSource,
    string? InnerEthernetDestination,
    IPAddress? InnerSource,
    IPAddress? InnerDestination)
{
    public static TunnelFields None { get; } = new(TunnelKind.None, null, null, null, null, null, null, null, null, null, null);

    /// <param name="decoded">A frame as <see cref="FrameDecoder"/> reads it.</param>
    public static TunnelFields Of(DecodedFrame decoded) => new(
        decoded.Tunnel, decoded.Vni, decoded.VxlanFlags, decoded.OuterSource, decoded.OuterDestination, decoded.OuterSourcePort,
        decoded.OuterDestinationPort, decoded.InnerEthernetSource?.ToString(), decoded.InnerEthernetDestination?.ToString(),
        decoded.InnerSource, decoded.InnerDestination);
}
