using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>sys/socket.h, netinet/in.h, netinet/ip.h, linux/udp.h, linux/icmp.h, linux/icmpv6.h, linux/filter.h.</summary>
internal static class Sockets
{
    public const int AF_UNSPEC = 0;
    public const int AF_INET = 2;
    public const int AF_BRIDGE = 7;
    public const int AF_INET6 = 10;
    public const int AF_NETLINK = 16;
    public const int SOCK_DGRAM = 2;
    public const int SOCK_RAW = 3;
    public const int SOCK_NONBLOCK = 0x800;
    public const int SOCK_CLOEXEC = 0x80000;

    public const int MSG_DONTWAIT = 0x40;
    public const int MSG_TRUNC = 0x20;

    public const int SOL_SOCKET = 1;
    public const int SO_REUSEADDR = 2;
    public const int SO_SNDBUF = 7;
    public const int SO_RCVBUF = 8;
    public const int SO_NO_CHECK = 11;
    public const int SO_REUSEPORT = 15;
    public const int SO_BINDTODEVICE = 25;
    public const int SO_ATTACH_FILTER = 26;
    public const int SO_SNDBUFFORCE = 32;
    public const int SO_RCVBUFFORCE = 33;
    public const int SO_MEMINFO = 55;

    public const int IPPROTO_IP = 0;
    public const int IP_TOS = 1;
    public const int IP_TTL = 2;
    public const int IP_MTU_DISCOVER = 10;
    public const int IP_RECVTOS = 13;
    public const int IP_PMTUDISC_DONT = 0;
    public const int IP_PMTUDISC_PROBE = 3;

    public const int IPPROTO_IPV6 = 41;
    public const int IPV6_UNICAST_HOPS = 16;
    public const int IPV6_MTU_DISCOVER = 23;
    public const int IPV6_V6ONLY = 26;
    public const int IPV6_FLOWINFO_SEND = 33;
    public const int IPV6_HOPLIMIT = 52;
    public const int IPV6_DONTFRAG = 62;
    public const int IPV6_RECVTCLASS = 66;
    public const int IPV6_TCLASS = 67;
    public const int IPV6_PMTUDISC_PROBE = 3;

    public const int SOL_RAW = 255;
    public const int ICMP_FILTER = 1;
    public const int IPPROTO_ICMPV6 = 58;
    public const int ICMPV6_FILTER = 1;

    public const int SOL_UDP = 17;
    public const int UDP_NO_CHECK6_TX = 101;
    public const int UDP_NO_CHECK6_RX = 102;
    public const int UDP_SEGMENT = 103;
    public const int UDP_GRO = 104;

    public const ushort BPF_LD = 0x00;
    public const ushort BPF_JMP = 0x05;
    public const ushort BPF_RET = 0x06;
    public const ushort BPF_W = 0x00;
    public const ushort BPF_H = 0x08;
    public const ushort BPF_ABS = 0x20;
    public const ushort BPF_JEQ = 0x10;
    public const ushort BPF_K = 0x00;
    public const ushort BPF_LDX = 0x01;
    public const ushort BPF_ST = 0x02;
    public const ushort BPF_STX = 0x03;
    public const ushort BPF_ALU = 0x04;
    public const ushort BPF_MISC = 0x07;
    public const ushort BPF_B = 0x10;
    public const ushort BPF_IMM = 0x00;
    public const ushort BPF_IND = 0x40;
    public const ushort BPF_MEM = 0x60;
    public const ushort BPF_LEN = 0x80;
    public const ushort BPF_MSH = 0xa0;
    public const ushort BPF_ADD = 0x00;
    public const ushort BPF_MUL = 0x20;
    public const ushort BPF_AND = 0x50;
    public const ushort BPF_LSH = 0x60;
    public const ushort BPF_RSH = 0x70;
    public const ushort BPF_XOR = 0xa0;
    public const ushort BPF_JGE = 0x30;
    public const ushort BPF_JSET = 0x40;
    public const ushort BPF_X = 0x08;
    public const ushort BPF_TAX = 0x00;
    public const ushort BPF_TXA = 0x80;
}

[InlineArray(8)]
internal struct EightBytes
{
    private byte _first;
}

[NativeStruct("sockaddr_in"), StructLayout(LayoutKind.Sequential)]
internal struct SockAddrIn
{
    public ushort sin_family;

    /// <summary>Network byte order.</summary>
    public ushort sin_port;

    /// <summary>Network byte order.</summary>
    public uint sin_addr;
    public EightBytes sin_zero;
}

/// <summary>The 16 bytes of the address are two words, for it is aligned to four bytes only.</summary>
[NativeStruct("sockaddr_in6"), StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct SockAddrIn6
{
    public ushort sin6_family;

    /// <summary>Network byte order.</summary>
    public ushort sin6_port;
    public uint sin6_flowinfo;

    /// <summary>Network byte order.</summary>
    public UInt128 sin6_addr;
    public uint sin6_scope_id;
}

[NativeStruct("msghdr"), StructLayout(LayoutKind.Sequential)]
internal struct MsgHdr
{
    public nint msg_name;
    public uint msg_namelen;
    public nint msg_iov;
    public nuint msg_iovlen;
    public nint msg_control;
    public nuint msg_controllen;
    public int msg_flags;
}

[NativeStruct("mmsghdr"), StructLayout(LayoutKind.Sequential)]
internal struct MMsgHdr
{
    public MsgHdr msg_hdr;
    public uint msg_len;
}

[NativeStruct("cmsghdr"), StructLayout(LayoutKind.Sequential)]
internal struct CMsgHdr
{
    public nuint cmsg_len;
    public int cmsg_level;
    public int cmsg_type;
}

[NativeStruct("sock_filter"), StructLayout(LayoutKind.Sequential)]
internal struct SockFilter
{
    public ushort code;
    public byte jt;
    public byte jf;
    public uint k;
}

[NativeStruct("sock_fprog"), StructLayout(LayoutKind.Sequential)]
internal struct SockFProg
{
    public ushort len;
    public nint filter;
}
