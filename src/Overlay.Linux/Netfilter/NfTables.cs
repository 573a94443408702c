using System.Buffers.Binary;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text;
using Overlay.Linux.Interop;
using Overlay.Linux.Netlink;
using static Overlay.Linux.Interop.NetfilterConstants;

namespace Overlay.Linux.Netfilter;

/// <summary>
/// Tables of nftables in the network namespace of the thread that made this, changed by transactions (nft(8), "netlink"). Not for use by two
/// threads at once.
/// </summary>
public sealed class NfTables : IDisposable
{
    private readonly NetlinkSocket _socket = new(NETLINK_NETFILTER);

    /// <summary>Changes with every transaction of anybody, and says nothing else.</summary>
    public uint Generation
    {
        get
        {
            NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], Type(NFT_MSG_GETGEN), 0, default(NfGenMsg));
            return _socket.Get(ref request, "get nftables generation", body => ParseGeneration(body)).Value;
        }
    }

    /// <summary>Does all that the transaction holds, at one instant, or nothing.</summary>
    /// <exception cref="LinuxException">The kernel refuses any of it.</exception>
    public void Commit(NfTransaction transaction) => _socket.ExecuteAll(transaction.Write, $"change the table {transaction.Table} of nftables");

    /// <summary>The chain and handle of each rule of a table: equal as long as nobody changed them. Empty where there is no such table.</summary>
    public IReadOnlyList<string> ListRules(NfFamily family, string table)
    {
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], Type(NFT_MSG_GETRULE), 0, Header(family));
        request.Add(NFTA_RULE_TABLE, table);
        return Dump(ref request, $"list rules of {table}", RuleIdentity);
    }

    /// <summary>The elements of a set of sources. Empty where there is no such set.</summary>
    public IEnumerable<(IPAddress Address, string Interface)> ListElements(NfFamily family, string table, string set)
    {
        NetlinkRequest request = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], Type(NFT_MSG_GETSETELEM), 0, Header(family));
        request.Add(NFTA_SET_ELEM_LIST_TABLE, table);
        request.Add(NFTA_SET_ELEM_LIST_SET, set);
        return Dump(ref request, $"list elements of {table} {set}", Elements).SelectMany(each => each);
    }

    public void Dispose() => _socket.Dispose();

    private List<T> Dump<T>(ref NetlinkRequest request, string call, NetlinkParser<T> parser)
        where T : class
    {
        try
        {
            return _socket.Dump(ref request, call, parser);
        }
        catch (LinuxException exception) when (exception.Errno == Errno.ENOENT)
        {
            return [];
        }
    }

    internal static ushort Type(ushort message) => (ushort)((NFNL_SUBSYS_NFTABLES << 8) | message);

    internal static NfGenMsg Header(NfFamily family) => new() { nfgen_family = (byte)family };

    private static Number ParseGeneration(ReadOnlySpan<byte> body)
    {
        NetlinkAttributes attributes = Attributes(body);
        while (attributes.Next())
        {
            if (attributes.Type == NFTA_GEN_ID) return new Number(BinaryPrimitives.ReadUInt32BigEndian(attributes.Value));
        }
        return new Number(0);
    }

    private static string RuleIdentity(ReadOnlySpan<byte> body)
    {
        string chain = "";
        ulong handle = 0;
        NetlinkAttributes attributes = Attributes(body);
        while (attributes.Next())
        {
            if (attributes.Type == NFTA_RULE_CHAIN) chain = attributes.Text;
            else if (attributes.Type == NFTA_RULE_HANDLE) handle = BinaryPrimitives.ReadUInt64BigEndian(attributes.Value);
        }
        return $"{chain} {handle}";
    }

    private static List<(IPAddress, string)> Elements(ReadOnlySpan<byte> body)
    {
        var found = new List<(IPAddress, string)>();
        NetlinkAttributes attributes = Attributes(body);
        while (attributes.Next())
        {
            if (attributes.Type != NFTA_SET_ELEM_LIST_ELEMENTS) continue;
            var elements = new NetlinkAttributes(attributes.Value);
            while (elements.Next())
            {
                if (Key(elements.Value) is { } key) found.Add(key);
            }
        }
        return found;
    }

    private static (IPAddress, string)? Key(ReadOnlySpan<byte> element)
    {
        var attributes = new NetlinkAttributes(element);
        while (attributes.Next())
        {
            if (attributes.Type != NFTA_SET_ELEM_KEY) continue;
            var key = new NetlinkAttributes(attributes.Value);
            while (key.Next())
            {
                if (key.Type != NFTA_DATA_VALUE || key.Value.Length is not (4 + Tun.IFNAMSIZ or 16 + Tun.IFNAMSIZ)) continue;
                int length = key.Value.Length - Tun.IFNAMSIZ;
                return (new IPAddress(key.Value[..length]), Encoding.UTF8.GetString(key.Value[length..].TrimEnd((byte)0)));
            }
        }
        return null;
    }

    private static NetlinkAttributes Attributes(ReadOnlySpan<byte> body) => new(body[Unsafe.SizeOf<NfGenMsg>()..]);

    private sealed record Number(uint Value);
}

/// <summary>Which packets a table sees (NFPROTO_*).</summary>
public enum NfFamily : byte
{
    Inet = NFPROTO_INET,
    Netdev = NFPROTO_NETDEV,
    Bridge = NFPROTO_BRIDGE,
}
