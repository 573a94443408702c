using System.Buffers.Binary;
using System.Net;
using Overlay.Linux.Interop;
using Overlay.Linux.Netlink;
using static Overlay.Linux.Interop.NetfilterConstants;

namespace Overlay.Linux.Netfilter;

/// <summary>A base chain: where packets enter a table.</summary>
/// <param name="Type"><c>filter</c> or <c>nat</c>.</param>
/// <param name="Hook">NF_INET_*, of which a bridge's have the same numbers, or NF_NETDEV_*.</param>
/// <param name="Priority">Lower comes first: -300 is before connection tracking, 100 where sources are translated.</param>
public readonly record struct NfChain(string Name, string Type, NfHook Hook, int Priority)
{
    /// <summary>In a table of the netdev family: whose packets.</summary>
    public string? Device { get; init; }
}

public enum NfHook : byte
{
    Prerouting = (byte)NF_INET_PRE_ROUTING,
    Postrouting = (byte)NF_INET_POST_ROUTING,

    /// <summary>The first one of a device, whose numbers begin anew.</summary>
    DeviceIngress = (byte)(NfTransaction.DeviceHooks + NF_NETDEV_INGRESS),
    DeviceEgress = (byte)(NfTransaction.DeviceHooks + NF_NETDEV_EGRESS),
}

/// <summary>What changes of one table, all of it at one instant.</summary>
public sealed class NfTransaction(NfFamily family, string table)
{
    /// <summary>Tells hooks of devices, whose numbers begin anew, from those before.</summary>
    internal const uint DeviceHooks = 128;

    /// <summary>Elements a message; a message's attributes may have 64 KB.</summary>
    private const int ElementsAMessage = 256;

    private const int BufferBytes = 1 << 15;

    private readonly List<Message> _messages = [];

    private delegate void Body(ref NetlinkRequest request);

    private sealed record Message(ushort Type, ushort Flags, Body Body);

    public string Table { get; } = table;

    /// <summary>Makes the table anew: without what it held.</summary>
    public NfTransaction ReplaceTable()
    {
        // Made where it is not there, so that it can be deleted.
        Add(NFT_MSG_NEWTABLE, NetlinkConstants.NLM_F_CREATE, Name);
        DeleteTable();
        Add(NFT_MSG_NEWTABLE, NetlinkConstants.NLM_F_CREATE, Name);
        return this;

        void Name(ref NetlinkRequest request) => request.Add(NFTA_TABLE_NAME, Table);
    }

    public NfTransaction DeleteTable()
    {
        Add(NFT_MSG_DELTABLE, 0, (ref NetlinkRequest request) => request.Add(NFTA_TABLE_NAME, Table));
        return this;
    }

    public void AddChain(NfChain chain) => Add(NFT_MSG_NEWCHAIN, NetlinkConstants.NLM_F_CREATE, (ref NetlinkRequest request) =>
    {
        request.Add(NFTA_CHAIN_TABLE, Table);
        request.Add(NFTA_CHAIN_NAME, chain.Name);
        int hook = request.BeginNest(NFTA_CHAIN_HOOK);
        request.AddBigEndian(NFTA_HOOK_HOOKNUM, chain.Device is null ? (uint)chain.Hook : (uint)chain.Hook - DeviceHooks);
        request.AddBigEndian(NFTA_HOOK_PRIORITY, (uint)chain.Priority);
        if (chain.Device is { } device) request.Add(NFTA_HOOK_DEV, device);
        request.EndNest(hook);
        request.Add(NFTA_CHAIN_TYPE, chain.Type);
    });

    /// <summary>A set of source addresses, each with the name of the interface that it may come from.</summary>
    /// <param name="id">Unique in the transaction.</param>
    public void AddSourceSet(string name, bool isIPv6, uint id) => Add(NFT_MSG_NEWSET, NetlinkConstants.NLM_F_CREATE, (ref NetlinkRequest request) =>
    {
        // What nft calls the types, for those who list the table: ipv4_addr or ipv6_addr, then ifname.
        const uint ipv4Address = 7, ipv6Address = 8, interfaceName = 41, bits = 6;
        request.Add(NFTA_SET_TABLE, Table);
        request.Add(NFTA_SET_NAME, name);
        request.AddBigEndian(NFTA_SET_KEY_TYPE, ((isIPv6 ? ipv6Address : ipv4Address) << (int)bits) | interfaceName);
        request.AddBigEndian(NFTA_SET_KEY_LEN, (uint)((isIPv6 ? 16 : 4) + Tun.IFNAMSIZ));
        request.AddBigEndian(NFTA_SET_ID, id);
    });

    public void AddElements(string set, IEnumerable<(IPAddress Address, string Interface)> elements) => Elements(NFT_MSG_NEWSETELEM, NetlinkConstants.NLM_F_CREATE, set, elements);

    /// <summary>Takes elements out. One that is not there is refused with ENOENT.</summary>
    public void DeleteElements(string set, IEnumerable<(IPAddress Address, string Interface)> elements) => Elements(NFT_MSG_DELSETELEM, 0, set, elements);

    /// <summary>How many rules it adds.</summary>
    public int Rules => _messages.Count(message => message.Type == NFT_MSG_NEWRULE);

    public void AddRule(string chain, NfRule rule) => Add(NFT_MSG_NEWRULE, NetlinkConstants.NLM_F_CREATE | NetlinkConstants.NLM_F_APPEND, (ref NetlinkRequest request) =>
    {
        request.Add(NFTA_RULE_TABLE, Table);
        request.Add(NFTA_RULE_CHAIN, chain);
        int expressions = request.BeginNest(NFTA_RULE_EXPRESSIONS);
        rule.Write(ref request);
        request.EndNest(expressions);
    });

    /// <summary>Writes the messages between the marks of a batch; the last of them asks for an acknowledgement.</summary>
    internal uint Write(List<byte> to, uint sequence)
    {
        byte[] buffer = new byte[BufferBytes];
        Mark(to, NFNL_MSG_BATCH_BEGIN, sequence++);
        for (int i = 0; i < _messages.Count; i++)
        {
            Message message = _messages[i];
            NetlinkRequest request = NetlinkRequest.Start(buffer, NfTables.Type(message.Type), message.Flags, NfTables.Header(family));
            message.Body(ref request);
            to.AddRange(request.Finish(i == _messages.Count - 1 ? NetlinkConstants.NLM_F_ACK : (ushort)0, sequence++));
        }
        Mark(to, NFNL_MSG_BATCH_END, sequence);
        return sequence - 1;
    }

    private static void Mark(List<byte> to, ushort type, uint sequence)
    {
        var header = new NfGenMsg { res_id = BinaryPrimitives.ReverseEndianness(NFNL_SUBSYS_NFTABLES) };
        NetlinkRequest mark = NetlinkRequest.Start(stackalloc byte[NetlinkRequest.BufferBytes], type, 0, header);
        to.AddRange(mark.Finish(0, sequence));
    }

    private void Elements(ushort type, ushort flags, string set, IEnumerable<(IPAddress Address, string Interface)> elements)
    {
        foreach ((IPAddress Address, string Interface)[] chunk in elements.Chunk(ElementsAMessage))
        {
            Add(type, flags, (ref NetlinkRequest request) =>
            {
                Span<byte> key = stackalloc byte[16 + Tun.IFNAMSIZ];
                request.Add(NFTA_SET_ELEM_LIST_TABLE, Table);
                request.Add(NFTA_SET_ELEM_LIST_SET, set);
                int list = request.BeginNest(NFTA_SET_ELEM_LIST_ELEMENTS);
                foreach ((IPAddress address, string device) in chunk)
                {
                    key.Clear();
                    address.TryWriteBytes(key, out int length);
                    System.Text.Encoding.UTF8.GetBytes(device, key[length..]);
                    int element = request.BeginNest(NFTA_LIST_ELEM);
                    int value = request.BeginNest(NFTA_SET_ELEM_KEY);
                    request.Add(NFTA_DATA_VALUE, key[..(length + Tun.IFNAMSIZ)]);
                    request.EndNest(value);
                    request.EndNest(element);
                }
                request.EndNest(list);
            });
        }
    }

    private void Add(ushort type, ushort flags, Body body) => _messages.Add(new Message(type, flags, body));
}
