using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.Linux.Netlink;
using Overlay.Wire;
using static Overlay.Linux.Interop.NetfilterConstants;

namespace Overlay.Linux.Netfilter;

/// <summary>A rule of a chain: what a packet must be, then what becomes of it. Built in the order in which it is to be tested.</summary>
public sealed class NfRule
{
    private const int EthernetSourceOffset = 6;
    private const byte Ipv4SourceOffset = 12;
    private const byte Ipv4DestinationOffset = 16;
    private const byte Ipv6SourceOffset = 8;
    private const byte Ipv6DestinationOffset = 24;
    private const int UdpDestinationOffset = 2;

    /// <summary>Of the target in a neighbour solicitation or advertisement (RFC 4861, 4.3 and 4.4).</summary>
    private const int NeighborTargetOffset = 8;

    private readonly List<Expression> _expressions = [];

    private delegate void Expression(ref NetlinkRequest request);

    /// <summary>It came in by an interface whose name starts so; with a zero at the end: whose name this is.</summary>
    public NfRule FromInterface(string prefix) => Meta(NFT_META_IIFNAME).Equal(Encoding.UTF8.GetBytes(prefix));

    /// <summary>It leaves by an interface whose name starts so; with a zero at the end: whose name this is.</summary>
    public NfRule ToInterface(string prefix) => Meta(NFT_META_OIFNAME).Equal(Encoding.UTF8.GetBytes(prefix));

    /// <summary>It is IPv4 or IPv6, in a table that sees both.</summary>
    public NfRule IsIp(bool isIPv6) => Meta(NFT_META_NFPROTO).Equal([isIPv6 ? NFPROTO_IPV6 : NFPROTO_IPV4]);

    /// <summary>Its EtherType, in a table of the bridge family.</summary>
    public NfRule HasEtherType(ushort type) => Meta(NFT_META_PROTOCOL).Equal([(byte)(type >> 8), (byte)type]);

    public NfRule From(IPNetwork prefix) => Inside(prefix, Ipv4SourceOffset, Ipv6SourceOffset);

    /// <summary>As <see cref="From"/>, where <see cref="HasEtherType"/> or <see cref="IsIp"/> has told the family already.</summary>
    public NfRule FromBridged(IPNetwork prefix) => InsideAtOffset(prefix, OffsetOf(prefix, Ipv4SourceOffset, Ipv6SourceOffset));

    public NfRule To(IPNetwork prefix) => Inside(prefix, Ipv4DestinationOffset, Ipv6DestinationOffset);

    /// <summary>Its source address and the interface it came by are not together in a set.</summary>
    public NfRule SourceNotIn(string set, bool isIPv6, uint id) => AddressNotIn(set, isIPv6, id, isIPv6 ? Ipv6SourceOffset : Ipv4SourceOffset);

    /// <summary>The same for the sender of an ARP packet for IPv4 over Ethernet (RFC 826).</summary>
    public NfRule ArpSenderNotIn(string set, uint id) => AddressNotIn(set, false, id, 14);

    /// <summary>Its protocol, behind whatever extension headers (IANA, protocol numbers).</summary>
    public NfRule Carries(byte protocol) => Meta(NFT_META_L4PROTO).Equal([protocol]);

    /// <summary>It is UDP to a port.</summary>
    public NfRule IsUdpTo(ushort port) => Carries(IpProtocols.Udp).Load(UdpDestinationOffset, sizeof(ushort), NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER).Equal([(byte)(port >> 8), (byte)port]);

    /// <summary>It is ICMPv6 of a type, behind whatever extension headers; a fragment but the first never is.</summary>
    public NfRule IsIcmpv6(byte type) => Carries(IpProtocols.Icmpv6).Load(0, 1, NFT_REG_1, NFT_PAYLOAD_TRANSPORT_HEADER).Equal([type]);

    /// <summary>It tells of a neighbour outside an IPv6 prefix.</summary>
    public NfRule TargetNotIn(IPNetwork prefix) => InsideAtOffset(prefix, NeighborTargetOffset, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_CMP_NEQ);

    /// <summary>The neighbour that it tells of and the interface it came by are not together in a set.</summary>
    public NfRule TargetNotIn(string set, uint id) => AddressNotIn(set, isIPv6: true, id, NeighborTargetOffset, NFT_PAYLOAD_TRANSPORT_HEADER);

    /// <summary>Its Ethernet source starts so.</summary>
    public NfRule FromMac(ReadOnlySpan<byte> prefix) => Load(EthernetSourceOffset, prefix.Length, NFT_REG_1, NFT_PAYLOAD_LL_HEADER).Equal(prefix.ToArray());

    /// <summary>Gives it the mark that the last 24 bits of its Ethernet source are.</summary>
    public NfRule MarkFromMac() => Load(EthernetSourceOffset + 2, sizeof(uint), NFT_REG_1, NFT_PAYLOAD_LL_HEADER)
        .ByteOrder(NFT_BYTEORDER_NTOH)
        .Bitwise(BitConverter.GetBytes(0x00ff_ffffu), new byte[sizeof(uint)])
        .Add("meta", (ref NetlinkRequest request) =>
        {
            request.AddBigEndian(NFTA_META_KEY, NFT_META_MARK);
            request.AddBigEndian(NFTA_META_SREG, NFT_REG_1);
        });

    /// <summary>Gives it an Ethernet source of three octets and 24 bits of its mark.</summary>
    /// <param name="prefix">The three octets.</param>
    /// <param name="mask">Bits of the mark that are written, of the lower 24.</param>
    public NfRule MacFromMark(ReadOnlySpan<byte> prefix, uint mask)
    {
        byte[] start = prefix[..2].ToArray();
        uint third = (uint)prefix[2] << 24;
        return Add("immediate", (ref NetlinkRequest request) =>
        {
            request.AddBigEndian(NFTA_IMMEDIATE_DREG, NFT_REG_1);
            Data(ref request, NFTA_IMMEDIATE_DATA, start);
        }).Store(EthernetSourceOffset, start.Length)
            .Meta(NFT_META_MARK)
            .Bitwise(BitConverter.GetBytes(mask & 0xff_ffff), BitConverter.GetBytes(third))
            .ByteOrder(NFT_BYTEORDER_HTON)
            .Store(EthernetSourceOffset + start.Length, sizeof(uint));
    }

    public NfRule Counted() => Add("counter", (ref NetlinkRequest _) => { });

    /// <summary>No later rule of this chain is asked.</summary>
    public NfRule Accept() => Verdict(NF_ACCEPT);

    public NfRule Drop() => Verdict(NF_DROP);

    /// <summary>Takes the address of the interface that it leaves by for its source.</summary>
    public NfRule Masquerade() => Add("masq", (ref NetlinkRequest _) => { });

    internal void Write(ref NetlinkRequest request)
    {
        foreach (Expression expression in _expressions) expression(ref request);
    }

    private NfRule Inside(IPNetwork prefix, byte ipv4Offset, byte ipv6Offset) =>
        IsIp(IsIPv6(prefix)).InsideAtOffset(prefix, OffsetOf(prefix, ipv4Offset, ipv6Offset));

    private NfRule InsideAtOffset(IPNetwork prefix, int offset, uint start = NFT_PAYLOAD_NETWORK_HEADER, uint comparison = NFT_CMP_EQ)
    {
        byte[] address = prefix.BaseAddress.GetAddressBytes();
        byte[] mask = new byte[address.Length];
        for (int bit = 0; bit < prefix.PrefixLength; bit++) mask[bit / 8] |= (byte)(0x80 >> (bit % 8));
        return Load(offset, address.Length, NFT_REG_1, start).Bitwise(mask, new byte[mask.Length]).Compare(comparison, address);
    }

    private static bool IsIPv6(IPNetwork prefix) => prefix.BaseAddress.AddressFamily == AddressFamily.InterNetworkV6;

    private static int OffsetOf(IPNetwork prefix, int ipv4, int ipv6) => IsIPv6(prefix) ? ipv6 : ipv4;

    /// <summary>The first register and a mask, and the other bits.</summary>
    private NfRule Bitwise(byte[] mask, byte[] bits) => Add("bitwise", (ref NetlinkRequest request) =>
    {
        request.AddBigEndian(NFTA_BITWISE_SREG, NFT_REG_1);
        request.AddBigEndian(NFTA_BITWISE_DREG, NFT_REG_1);
        request.AddBigEndian(NFTA_BITWISE_LEN, (uint)mask.Length);
        Data(ref request, NFTA_BITWISE_MASK, mask);
        Data(ref request, NFTA_BITWISE_XOR, bits);
    });

    /// <summary>Four bytes of the first register, from the network's order to the host's or back.</summary>
    private NfRule ByteOrder(uint operation) => Add("byteorder", (ref NetlinkRequest request) =>
    {
        request.AddBigEndian(NFTA_BYTEORDER_SREG, NFT_REG_1);
        request.AddBigEndian(NFTA_BYTEORDER_DREG, NFT_REG_1);
        request.AddBigEndian(NFTA_BYTEORDER_OP, operation);
        request.AddBigEndian(NFTA_BYTEORDER_LEN, sizeof(uint));
        request.AddBigEndian(NFTA_BYTEORDER_SIZE, sizeof(uint));
    });

    private NfRule AddressNotIn(string set, bool isIPv6, uint id, int offset, uint start = NFT_PAYLOAD_NETWORK_HEADER) =>
        // The two halves of the key stand in adjacent registers.
        Load(offset, isIPv6 ? 16 : 4, NFT_REG_1, start).Meta(NFT_META_IIFNAME, isIPv6 ? NFT_REG_2 : NFT_REG32_01).Add("lookup", (ref NetlinkRequest request) =>
        {
            request.Add(NFTA_LOOKUP_SET, set);
            request.AddBigEndian(NFTA_LOOKUP_SREG, NFT_REG_1);
            request.AddBigEndian(NFTA_LOOKUP_SET_ID, id);
            request.AddBigEndian(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
        });

    private NfRule Meta(uint key, uint register = NFT_REG_1) => Add("meta", (ref NetlinkRequest request) =>
    {
        request.AddBigEndian(NFTA_META_KEY, key);
        request.AddBigEndian(NFTA_META_DREG, register);
    });

    private NfRule Store(int offset, int length) => Add("payload", (ref NetlinkRequest request) =>
    {
        request.AddBigEndian(NFTA_PAYLOAD_SREG, NFT_REG_1);
        request.AddBigEndian(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_LL_HEADER);
        request.AddBigEndian(NFTA_PAYLOAD_OFFSET, (uint)offset);
        request.AddBigEndian(NFTA_PAYLOAD_LEN, (uint)length);
    });

    private NfRule Load(int offset, int length, uint register, uint start = NFT_PAYLOAD_NETWORK_HEADER) => Add("payload", (ref NetlinkRequest request) =>
    {
        request.AddBigEndian(NFTA_PAYLOAD_DREG, register);
        request.AddBigEndian(NFTA_PAYLOAD_BASE, start);
        request.AddBigEndian(NFTA_PAYLOAD_OFFSET, (uint)offset);
        request.AddBigEndian(NFTA_PAYLOAD_LEN, (uint)length);
    });

    private NfRule Equal(byte[] value) => Compare(NFT_CMP_EQ, value);

    private NfRule Compare(uint comparison, byte[] value) => Add("cmp", (ref NetlinkRequest request) =>
    {
        request.AddBigEndian(NFTA_CMP_SREG, NFT_REG_1);
        request.AddBigEndian(NFTA_CMP_OP, comparison);
        Data(ref request, NFTA_CMP_DATA, value);
    });

    private NfRule Verdict(uint code) => Add("immediate", (ref NetlinkRequest request) =>
    {
        request.AddBigEndian(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        int data = request.BeginNest(NFTA_IMMEDIATE_DATA);
        int verdict = request.BeginNest(NFTA_DATA_VERDICT);
        request.AddBigEndian(NFTA_VERDICT_CODE, code);
        request.EndNest(verdict);
        request.EndNest(data);
    });

    private NfRule Add(string name, Expression body)
    {
        _expressions.Add((ref NetlinkRequest request) =>
        {
            int element = request.BeginNest(NFTA_LIST_ELEM);
            request.Add(NFTA_EXPR_NAME, name);
            int data = request.BeginNest(NFTA_EXPR_DATA);
            body(ref request);
            request.EndNest(data);
            request.EndNest(element);
        });
        return this;
    }

    private static void Data(ref NetlinkRequest request, ushort type, ReadOnlySpan<byte> value)
    {
        int data = request.BeginNest(type);
        request.Add(NFTA_DATA_VALUE, value);
        request.EndNest(data);
    }
}
