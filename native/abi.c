// Prints the sizes, field offsets and constants that the C headers of this machine give, for the test that holds the managed
// structs and constants against them. One fact a line: "struct NAME SIZE", "field NAME.FIELD OFFSET SIZE", "const NAME VALUE",
// and "absent NAME" for a constant that is newer than the headers.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/in6.h>
#include <linux/loop.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>

#define STRUCT(name) printf("struct %s %zu\n", #name, sizeof(struct name));
#define FIELD(name, field) \
    printf("field %s.%s %zu %zu\n", #name, #field, offsetof(struct name, field), sizeof(((struct name *)0)->field));
#define CONST(name) printf("const %s %lld\n", #name, (long long)(name));
#define ABSENT(name) printf("absent %s\n", #name);

static void structs(void)
{
    STRUCT(__user_cap_header_struct)
    FIELD(__user_cap_header_struct, version)
    FIELD(__user_cap_header_struct, pid)
    STRUCT(__user_cap_data_struct)
    FIELD(__user_cap_data_struct, effective)
    FIELD(__user_cap_data_struct, permitted)
    FIELD(__user_cap_data_struct, inheritable)
    STRUCT(statx)
    FIELD(statx, stx_ino)
    FIELD(statx, stx_size)
    FIELD(statx, stx_blocks)
    FIELD(statx, stx_dev_major)
    FIELD(statx, stx_dev_minor)
    STRUCT(loop_info64)
    FIELD(loop_info64, lo_device)
    FIELD(loop_info64, lo_inode)
    STRUCT(pollfd)
    FIELD(pollfd, fd)
    FIELD(pollfd, events)
    FIELD(pollfd, revents)
    STRUCT(sockaddr_nl)
    FIELD(sockaddr_nl, nl_family)
    FIELD(sockaddr_nl, nl_pad)
    FIELD(sockaddr_nl, nl_pid)
    FIELD(sockaddr_nl, nl_groups)
    STRUCT(nlmsghdr)
    FIELD(nlmsghdr, nlmsg_len)
    FIELD(nlmsghdr, nlmsg_type)
    FIELD(nlmsghdr, nlmsg_flags)
    FIELD(nlmsghdr, nlmsg_seq)
    FIELD(nlmsghdr, nlmsg_pid)
    STRUCT(nlmsgerr)
    FIELD(nlmsgerr, error)
    FIELD(nlmsgerr, msg)
    STRUCT(nlattr)
    FIELD(nlattr, nla_len)
    FIELD(nlattr, nla_type)
    STRUCT(ifinfomsg)
    FIELD(ifinfomsg, ifi_family)
    FIELD(ifinfomsg, ifi_type)
    FIELD(ifinfomsg, ifi_index)
    FIELD(ifinfomsg, ifi_flags)
    FIELD(ifinfomsg, ifi_change)
    STRUCT(ifaddrmsg)
    FIELD(ifaddrmsg, ifa_family)
    FIELD(ifaddrmsg, ifa_prefixlen)
    FIELD(ifaddrmsg, ifa_flags)
    FIELD(ifaddrmsg, ifa_scope)
    FIELD(ifaddrmsg, ifa_index)
    STRUCT(rtmsg)
    FIELD(rtmsg, rtm_family)
    FIELD(rtmsg, rtm_dst_len)
    FIELD(rtmsg, rtm_src_len)
    FIELD(rtmsg, rtm_tos)
    FIELD(rtmsg, rtm_table)
    FIELD(rtmsg, rtm_protocol)
    FIELD(rtmsg, rtm_scope)
    FIELD(rtmsg, rtm_type)
    FIELD(rtmsg, rtm_flags)
    STRUCT(ndmsg)
    FIELD(ndmsg, ndm_family)
    FIELD(ndmsg, ndm_ifindex)
    FIELD(ndmsg, ndm_state)
    FIELD(ndmsg, ndm_flags)
    FIELD(ndmsg, ndm_type)
    STRUCT(sockaddr_in)
    FIELD(sockaddr_in, sin_family)
    FIELD(sockaddr_in, sin_port)
    FIELD(sockaddr_in, sin_addr)
    FIELD(sockaddr_in, sin_zero)
    STRUCT(sockaddr_in6)
    FIELD(sockaddr_in6, sin6_family)
    FIELD(sockaddr_in6, sin6_port)
    FIELD(sockaddr_in6, sin6_flowinfo)
    FIELD(sockaddr_in6, sin6_addr)
    FIELD(sockaddr_in6, sin6_scope_id)
    STRUCT(msghdr)
    FIELD(msghdr, msg_name)
    FIELD(msghdr, msg_namelen)
    FIELD(msghdr, msg_iov)
    FIELD(msghdr, msg_iovlen)
    FIELD(msghdr, msg_control)
    FIELD(msghdr, msg_controllen)
    FIELD(msghdr, msg_flags)
    STRUCT(mmsghdr)
    FIELD(mmsghdr, msg_hdr)
    FIELD(mmsghdr, msg_len)
    STRUCT(cmsghdr)
    FIELD(cmsghdr, cmsg_len)
    FIELD(cmsghdr, cmsg_level)
    FIELD(cmsghdr, cmsg_type)
    STRUCT(sock_filter)
    FIELD(sock_filter, code)
    FIELD(sock_filter, jt)
    FIELD(sock_filter, jf)
    FIELD(sock_filter, k)
    STRUCT(sock_fprog)
    FIELD(sock_fprog, len)
    FIELD(sock_fprog, filter)
    STRUCT(ifreq)
    FIELD(ifreq, ifr_name)
    FIELD(ifreq, ifr_flags)
    STRUCT(iovec)
    FIELD(iovec, iov_base)
    FIELD(iovec, iov_len)
    STRUCT(virtio_net_hdr)
    FIELD(virtio_net_hdr, flags)
    FIELD(virtio_net_hdr, gso_type)
    FIELD(virtio_net_hdr, hdr_len)
    FIELD(virtio_net_hdr, gso_size)
    FIELD(virtio_net_hdr, csum_start)
    FIELD(virtio_net_hdr, csum_offset)
}

static void capability_constants(void)
{
    CONST(_LINUX_CAPABILITY_VERSION_3)
    CONST(CAP_NET_ADMIN)
    CONST(CAP_NET_RAW)
}

static void errno_constants(void)
{
    CONST(EPERM)
    CONST(ENOENT)
    CONST(ESRCH)
    CONST(EINTR)
    CONST(EIO)
    CONST(ENXIO)
    CONST(EAGAIN)
    CONST(EBUSY)
    CONST(EEXIST)
    CONST(ENODEV)
    CONST(EINVAL)
    CONST(EMSGSIZE)
    CONST(EADDRINUSE)
    CONST(ENETDOWN)
    CONST(ENETUNREACH)
    CONST(ENOBUFS)
    CONST(ETIMEDOUT)
    CONST(EHOSTUNREACH)
}

static void files_constants(void)
{
    CONST(O_RDWR)
    CONST(O_NONBLOCK)
    CONST(O_CLOEXEC)
    CONST(EFD_NONBLOCK)
    CONST(EFD_CLOEXEC)
    CONST(POLLIN)
    CONST(UIO_MAXIOV)
}

static void netlink_constants(void)
{
    CONST(NETLINK_ROUTE)
    CONST(SOL_NETLINK)
    CONST(NETLINK_EXT_ACK)
    CONST(NETLINK_CAP_ACK)
    CONST(NLM_F_REQUEST)
    CONST(NLM_F_ACK)
    CONST(NLM_F_DUMP_INTR)
    CONST(NLM_F_ACK_TLVS)
    CONST(NLM_F_DUMP)
    CONST(NLM_F_REPLACE)
    CONST(NLM_F_EXCL)
    CONST(NLM_F_CREATE)
    CONST(NLMSG_ERROR)
    CONST(NLMSG_DONE)
    CONST(NLMSGERR_ATTR_MSG)
    CONST(NLA_TYPE_MASK)
    CONST(RTM_NEWLINK)
    CONST(RTM_DELLINK)
    CONST(RTM_GETLINK)
    CONST(RTM_NEWADDR)
    CONST(RTM_DELADDR)
    CONST(RTM_GETADDR)
    CONST(RTM_NEWROUTE)
    CONST(RTM_DELROUTE)
    CONST(RTM_GETROUTE)
    CONST(RTM_NEWNEIGH)
    CONST(RTM_DELNEIGH)
    CONST(RTM_GETNEIGH)
    CONST(RTMGRP_LINK)
    CONST(RTMGRP_IPV4_IFADDR)
    CONST(RTMGRP_IPV4_ROUTE)
    CONST(RTMGRP_IPV6_IFADDR)
    CONST(RTMGRP_IPV6_ROUTE)
    CONST(IFF_UP)
    CONST(IFF_LOWER_UP)
    CONST(IFLA_ADDRESS)
    CONST(IFLA_IFNAME)
    CONST(IFLA_MTU)
    CONST(IFLA_MASTER)
    CONST(IFLA_LINKINFO)
    CONST(IFLA_INFO_KIND)
    CONST(IFA_ADDRESS)
    CONST(IFA_LOCAL)
    CONST(IFA_FLAGS)
    CONST(IFA_F_NODAD)
    CONST(IFA_F_DADFAILED)
    CONST(IFA_F_TENTATIVE)
    CONST(RTA_DST)
    CONST(RTA_OIF)
    CONST(RTA_GATEWAY)
    CONST(RTA_PRIORITY)
    CONST(RTA_PREFSRC)
    CONST(RTA_TABLE)
    CONST(RT_TABLE_MAIN)
    CONST(RT_SCOPE_UNIVERSE)
    CONST(RT_SCOPE_LINK)
    CONST(RTNH_F_ONLINK)
    CONST(RTM_F_CLONED)
    CONST(NDA_DST)
    CONST(NDA_LLADDR)
    CONST(NUD_PERMANENT)
}

static void sockets_constants(void)
{
    CONST(AF_UNSPEC)
    CONST(AF_INET)
    CONST(AF_INET6)
    CONST(AF_NETLINK)
    CONST(SOCK_DGRAM)
    CONST(SOCK_RAW)
    CONST(SOCK_NONBLOCK)
    CONST(SOCK_CLOEXEC)
    CONST(MSG_DONTWAIT)
    CONST(MSG_TRUNC)
    CONST(SOL_SOCKET)
    CONST(SO_SNDBUF)
    CONST(SO_RCVBUF)
    CONST(SO_NO_CHECK)
    CONST(SO_REUSEPORT)
    CONST(SO_BINDTODEVICE)
    CONST(SO_ATTACH_FILTER)
    CONST(SO_SNDBUFFORCE)
    CONST(SO_RCVBUFFORCE)
    CONST(IPPROTO_IP)
    CONST(IP_TOS)
    CONST(IP_TTL)
    CONST(IP_MTU_DISCOVER)
    CONST(IP_RECVTOS)
    CONST(IP_PMTUDISC_PROBE)
    CONST(IPPROTO_IPV6)
    CONST(IPV6_UNICAST_HOPS)
    CONST(IPV6_MTU_DISCOVER)
    CONST(IPV6_V6ONLY)
    CONST(IPV6_FLOWINFO_SEND)
    CONST(IPV6_HOPLIMIT)
    CONST(IPV6_DONTFRAG)
    CONST(IPV6_RECVTCLASS)
    CONST(IPV6_TCLASS)
    CONST(IPV6_PMTUDISC_PROBE)
    CONST(SOL_UDP)
    CONST(UDP_NO_CHECK6_TX)
    CONST(UDP_NO_CHECK6_RX)
    CONST(UDP_SEGMENT)
    CONST(UDP_GRO)
    CONST(BPF_LD)
    CONST(BPF_JMP)
    CONST(BPF_RET)
    CONST(BPF_W)
    CONST(BPF_H)
    CONST(BPF_ABS)
    CONST(BPF_JEQ)
    CONST(BPF_K)
    CONST(BPF_LDX)
    CONST(BPF_ST)
    CONST(BPF_STX)
    CONST(BPF_ALU)
    CONST(BPF_MISC)
    CONST(BPF_B)
    CONST(BPF_IMM)
    CONST(BPF_IND)
    CONST(BPF_MEM)
    CONST(BPF_LEN)
    CONST(BPF_MSH)
    CONST(BPF_ADD)
    CONST(BPF_MUL)
    CONST(BPF_AND)
    CONST(BPF_LSH)
    CONST(BPF_RSH)
    CONST(BPF_MOD)
    CONST(BPF_XOR)
    CONST(BPF_JGE)
    CONST(BPF_JSET)
    CONST(BPF_X)
    CONST(BPF_TAX)
    CONST(BPF_TXA)
}

static void tun_constants(void)
{
    CONST(TUNSETPERSIST)
    CONST(TUNSETIFF)
    CONST(TUNSETOFFLOAD)
    CONST(TUNSETVNETHDRSZ)
    CONST(IFF_TAP)
    CONST(IFF_MULTI_QUEUE)
    CONST(IFF_NO_PI)
    CONST(IFF_VNET_HDR)
    CONST(TUN_F_CSUM)
    CONST(TUN_F_TSO4)
    CONST(TUN_F_TSO6)
    CONST(TUN_F_TSO_ECN)
#ifdef TUN_F_USO4
    CONST(TUN_F_USO4)
#else
    ABSENT(TUN_F_USO4)
#endif
#ifdef TUN_F_USO6
    CONST(TUN_F_USO6)
#else
    ABSENT(TUN_F_USO6)
#endif
#ifdef TUN_F_UDP_TUNNEL_GSO
    CONST(TUN_F_UDP_TUNNEL_GSO)
#else
    ABSENT(TUN_F_UDP_TUNNEL_GSO)
#endif
#ifdef TUN_F_UDP_TUNNEL_GSO_CSUM
    CONST(TUN_F_UDP_TUNNEL_GSO_CSUM)
#else
    ABSENT(TUN_F_UDP_TUNNEL_GSO_CSUM)
#endif
    CONST(IFNAMSIZ)
}

static void storage_constants(void)
{
    CONST(O_DIRECTORY)
    CONST(AT_FDCWD)
    CONST(STATX_BASIC_STATS)
    CONST(LOOP_GET_STATUS64)
}

int main(void)
{
    structs();
    capability_constants();
    errno_constants();
    files_constants();
    netlink_constants();
    sockets_constants();
    tun_constants();
    storage_constants();
    return 0;
}
