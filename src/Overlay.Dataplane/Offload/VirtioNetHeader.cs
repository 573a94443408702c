using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Offload;

/// <summary>
/// What a TAP device with IFF_VNET_HDR says before each frame (<c>struct virtio_net_hdr</c>, virtio 1.2, 5.1.6; 10 bytes,
/// native byte order): whether the transport checksum is unfinished, and how a super-packet is to be segmented.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VirtioNetHeader
{
    public const int Size = 10;

    public VirtioNetFlags Flags;
    public VirtioGsoType GsoType;

    /// <summary>Bytes of headers in front of the payload, Ethernet included. A hint.</summary>
    public ushort HeaderLength;

    /// <summary>Payload bytes of each segment; the last may be shorter.</summary>
    public ushort SegmentSize;

    /// <summary>Offset from the start of the frame at which summing starts: the transport header.</summary>
    public ushort ChecksumStart;

    /// <summary>Offset of the checksum field from <see cref="ChecksumStart"/>: 16 for TCP, 6 for UDP.</summary>
    public ushort ChecksumOffset;
}

/// <summary>VIRTIO_NET_HDR_F_*.</summary>
[Flags]
public enum VirtioNetFlags : byte
{
    None = 0,

    /// <summary>The checksum field holds the folded pseudo-header sum only; the rest is to be summed in.</summary>
    NeedsChecksum = 1,

    /// <summary>The checksum was verified.</summary>
    DataValid = 2,

    /// <summary>The outer UDP checksum of a tunnel super-packet is to be computed for each segment.</summary>
    TunnelChecksum = 8,
}

/// <summary>VIRTIO_NET_HDR_GSO_*. <see cref="Ecn"/> is a bit beside the type: CWR is set on the super-packet.</summary>
[Flags]
public enum VirtioGsoType : byte
{
    None = 0,
    Tcp4 = 1,
    Tcp6 = 4,

    /// <summary>UDP datagrams of one flow and one size (USO), not UDP fragmentation.</summary>
    Udp = 5,

    /// <summary>Beside a TCP type: the super-packet lies in a UDP tunnel over IPv4.</summary>
    TunnelIpv4 = 0x20,

    /// <summary>Beside a TCP type: the super-packet lies in a UDP tunnel over IPv6.</summary>
    TunnelIpv6 = 0x40,
    Ecn = 0x80,
}
