using System.Net;

namespace Overlay.Wire.Decoding;

/// <summary>
/// What <see cref="FrameDecoder"/> read in one frame. A value is null when the encapsulation has none or the frame does not hold it whole;
/// without a tunnel all are null but <see cref="Error"/>.
/// </summary>
public sealed class DecodedFrame
{
    internal DecodedFrame()
    {
    }

    /// <summary>The outermost tunnel.</summary>
    public TunnelKind Tunnel { get; internal set; }

    /// <summary>The 24 bits of the identifier; in VXLAN whether or not the I flag declares them valid.</summary>
    public uint? Vni { get; internal set; }

    public IPAddress? OuterSource { get; internal set; }

    public IPAddress? OuterDestination { get; internal set; }

    public ushort? OuterSourcePort { get; internal set; }

    public ushort? OuterDestinationPort { get; internal set; }

    /// <summary>
    /// Bytes after the tunnel header, by the outer length fields and not by what was captured. In a first fragment that of the whole
    /// datagram, which the UDP length tells; in one of IP in IP, where nothing tells it, that of the fragment.
    /// </summary>
    public long? InnerLength { get; internal set; }

    public IPAddress? InnerSource { get; internal set; }

    public IPAddress? InnerDestination { get; internal set; }

    public MacAddress? InnerEthernetSource { get; internal set; }

    public MacAddress? InnerEthernetDestination { get; internal set; }

    /// <summary>Protocol type of a Geneve header.</summary>
    public ushort? InnerProtocol { get; internal set; }

    /// <summary>First octet of a VXLAN or VXLAN-GPE header.</summary>
    public byte? VxlanFlags { get; internal set; }

    /// <summary>Group policy ID of a VXLAN header whose G flag is set.</summary>
    public ushort? GroupPolicyId { get; internal set; }

    /// <summary>The O bit of a Geneve header.</summary>
    public bool? IsOam { get; internal set; }

    /// <summary>The C bit of a Geneve header.</summary>
    public bool? HasCriticalOptions { get; internal set; }

    /// <summary>Options of a Geneve header, up to the first that is not whole.</summary>
    public IReadOnlyList<DecodedOption>? Options { get; internal set; }

    /// <summary>Why the outer headers or the tunnel header are unsound: the outermost reason. Null when they are sound.</summary>
    public string? Error { get; private set; }

    internal void Fail(string reason) => Error ??= reason;
}
