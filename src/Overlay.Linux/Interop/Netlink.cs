using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/neighbour.h, linux/veth.h.</summary>
internal static class NetlinkConstants
{
    public const int NETLINK_ROUTE = 0;
    public const int SOL_NETLINK = 270;
    public const int NETLINK_EXT_ACK = 11;
    public const int NETLINK_CAP_ACK = 10;

    public const ushort NLM_F_REQUEST = 0x01;
    public const ushort NLM_F_ACK = 0x04;
    public const ushort NLM_F_DUMP_INTR = 0x10;
    public const ushort NLM_F_ACK_TLVS = 0x200;
    public const ushort NLM_F_DUMP = 0x300;
    public const ushort NLM_F_REPLACE = 0x100;
    public const ushort NLM_F_EXCL = 0x200;
    public const ushort NLM_F_CREATE = 0x400;
    public const ushort NLM_F_APPEND = 0x800;
    public const ushort NLMSG_ERROR = 2;
    public const ushort NLMSG_DONE = 3;
    public const ushort NLMSGERR_ATTR_MSG = 1;
    public const int NLA_TYPE_MASK = ~0xc000;

    public const ushort RTM_NEWLINK = 16;
    public const ushort RTM_DELLINK = 17;
    public const ushort RTM_GETLINK = 18;
    public const ushort RTM_SETLINK = 19;
    public const ushort RTM_NEWADDR = 20;
    public const ushort RTM_DELADDR = 21;
    public const ushort RTM_GETADDR = 22;
    public const ushort RTM_NEWROUTE = 24;
    public const ushort RTM_DELROUTE = 25;
    public const ushort RTM_GETROUTE = 26;
    public const ushort RTM_NEWNEIGH = 28;
    public const ushort RTM_DELNEIGH = 29;
    public const ushort RTM_GETNEIGH = 30;

    public const uint RTMGRP_LINK = 1;
    public const uint RTMGRP_IPV4_IFADDR = 0x10;
    public const uint RTMGRP_IPV4_ROUTE = 0x40;
    public const uint RTMGRP_IPV6_IFADDR = 0x100;
    public const uint RTMGRP_IPV6_ROUTE = 0x400;

    public const uint IFF_UP = 1;
    public const uint IFF_LOWER_UP = 0x10000;
    public const ushort IFLA_ADDRESS = 1;
    public const ushort IFLA_IFNAME = 3;
    public const ushort IFLA_MTU = 4;
    public const ushort IFLA_MASTER = 10;
    public const ushort IFLA_LINKINFO = 18;
    public const ushort IFLA_INFO_KIND = 1;
    public const ushort IFLA_INFO_DATA = 2;
    public const ushort IFLA_AF_SPEC = 26;
    public const ushort IFLA_EXT_MASK = 29;
    public const uint RTEXT_FILTER_SKIP_STATS = 1 << 3;
    public const ushort IFLA_INET6_CONF = 2;
    public const int DEVCONF_MTU6 = 2;
    public const int DEVCONF_DISABLE_IPV6 = 26;
    public const ushort IFLA_INET6_ADDR_GEN_MODE = 8;
    public const byte IN6_ADDR_GEN_MODE_NONE = 1;
    public const ushort IFLA_NET_NS_FD = 28;
    public const ushort IFLA_NUM_TX_QUEUES = 31;
    public const ushort IFLA_NUM_RX_QUEUES = 32;
    public const ushort IFLA_PROTINFO = 12;
    public const ushort IFLA_BRPORT_MODE = 4;
    public const ushort IFLA_BRPORT_LEARNING = 8;
    public const ushort VETH_INFO_PEER = 1;
    public const ushort NLA_F_NESTED = 0x8000;

    public const ushort IFA_ADDRESS = 1;
    public const ushort IFA_LOCAL = 2;
    public const ushort IFA_FLAGS = 8;
    public const uint IFA_F_NODAD = 0x02;
    public const uint IFA_F_DADFAILED = 0x08;
    public const uint IFA_F_TENTATIVE = 0x40;

    public const ushort RTA_DST = 1;
    public const ushort RTA_SRC = 2;
    public const ushort RTA_OIF = 4;
    public const ushort RTA_GATEWAY = 5;
    public const ushort RTA_PRIORITY = 6;
    public const ushort RTA_PREFSRC = 7;
    public const ushort RTA_MULTIPATH = 9;
    public const ushort RTA_METRICS = 8;
    public const ushort RTA_CACHEINFO = 12;
    public const ushort RTA_TABLE = 15;
    public const ushort RTAX_MTU = 2;
    public const byte RT_TABLE_MAIN = 254;
    public const byte RT_SCOPE_UNIVERSE = 0;
    public const byte RT_SCOPE_LINK = 253;
    public const uint RTNH_F_ONLINK = 4;
    public const uint RTM_F_CLONED = 0x200;
    public const uint RTM_F_FIB_MATCH = 0x2000;

    public const ushort NDA_DST = 1;
    public const ushort NDA_LLADDR = 2;
    public const ushort NUD_NOARP = 0x40;
    public const ushort NUD_PERMANENT = 0x80;
    public const byte NTF_MASTER = 0x04;
}

[NativeStruct("sockaddr_nl"), StructLayout(LayoutKind.Sequential)]
internal struct SockAddrNl
{
    public ushort nl_family;
    public ushort nl_pad;
    public uint nl_pid;
    public uint nl_groups;
}

[NativeStruct("nlmsghdr"), StructLayout(LayoutKind.Sequential)]
internal struct NlMsgHdr
{
    public uint nlmsg_len;
    public ushort nlmsg_type;
    public ushort nlmsg_flags;
    public uint nlmsg_seq;
    public uint nlmsg_pid;
}

/// <summary>The request's own header follows the error number.</summary>
[NativeStruct("nlmsgerr"), StructLayout(LayoutKind.Sequential)]
internal struct NlMsgErr
{
    public int error;
    public NlMsgHdr msg;
}

[NativeStruct("nlattr"), StructLayout(LayoutKind.Sequential)]
internal struct NlAttr
{
    public ushort nla_len;
    public ushort nla_type;
}

[NativeStruct("ifinfomsg"), StructLayout(LayoutKind.Sequential)]
internal struct IfInfoMsg
{
    public byte ifi_family;
    public ushort ifi_type;
    public int ifi_index;
    public uint ifi_flags;
    public uint ifi_change;
}

[NativeStruct("ifaddrmsg"), StructLayout(LayoutKind.Sequential)]
internal struct IfAddrMsg
{
    public byte ifa_family;
    public byte ifa_prefixlen;
    public byte ifa_flags;
    public byte ifa_scope;
    public uint ifa_index;
}

[NativeStruct("rtmsg"), StructLayout(LayoutKind.Sequential)]
internal struct RtMsg
{
    public byte rtm_family;
    public byte rtm_dst_len;
    public byte rtm_src_len;
    public byte rtm_tos;
    public byte rtm_table;
    public byte rtm_protocol;
    public byte rtm_scope;
    public byte rtm_type;
    public uint rtm_flags;
}

[NativeStruct("rtnexthop"), StructLayout(LayoutKind.Sequential)]
internal struct RtNextHop
{
    public ushort rtnh_len;
    public byte rtnh_flags;
    public byte rtnh_hops;
    public int rtnh_ifindex;
}

[NativeStruct("rta_cacheinfo"), StructLayout(LayoutKind.Sequential)]
internal struct RtaCacheInfo
{
    public uint rta_clntref;
    public uint rta_lastuse;

    /// <summary>Ticks until what was learned is forgotten; 0: nothing was.</summary>
    public int rta_expires;
    public uint rta_error;
    public uint rta_used;
    public uint rta_id;
    public uint rta_ts;
    public uint rta_tsage;
}

[NativeStruct("ndmsg"), StructLayout(LayoutKind.Sequential)]
internal struct NdMsg
{
    public byte ndm_family;
    public int ndm_ifindex;
    public ushort ndm_state;
    public byte ndm_flags;
    public byte ndm_type;
}
