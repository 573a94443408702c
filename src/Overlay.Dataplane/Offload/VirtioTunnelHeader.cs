using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Offload;

/// <summary>
/// The virtio-net header of a super-packet inside a UDP tunnel (<c>struct virtio_net_hdr_v1_hash_tunnel</c>; 24 bytes, little-endian), as
/// a TAP device takes it from Linux 6.17 on. All offsets count from the outer Ethernet header.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VirtioTunnelHeader
{
    public const int Size = 24;

    /// <summary><see cref="VirtioNetHeader.ChecksumStart"/> is that of the inner transport header.</summary>
    public VirtioNetHeader Inner;

    /// <summary>Not used by a TAP.</summary>
    public ushort BufferCount;

    public uint Hash;

    /// <summary>0: no hash.</summary>
    public ushort HashReport;

    public ushort Padding;

    /// <summary>Where the outer UDP header starts.</summary>
    public ushort OuterTransportOffset;

    /// <summary>Where the inner IP header starts.</summary>
    public ushort InnerNetworkOffset;
}
