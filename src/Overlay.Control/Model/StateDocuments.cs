using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;
using Overlay.Control.Stores;

namespace Overlay.Control.Model;

/// <summary>A virtual network, as it is in the store.</summary>
/// <param name="Vni">24-bit virtual network identifier.</param>
/// <param name="Encapsulation">vxlan or geneve.</param>
/// <param name="Mtu">Bytes of an inner IP packet; null: what each node's underlay leaves.</param>
/// <param name="Borrowing">Whether nodes lend each other parts of their blocks when all are leased.</param>
public sealed record NetworkDocument(string Name, uint Vni, string Encapsulation, IReadOnlyList<PoolDocument> Pools, int? Mtu = null, bool Borrowing = false);

/// <summary>A prefix out of which nodes lease blocks.</summary>
/// <param name="Prefix">In CIDR notation.</param>
/// <param name="BlockLength">Prefix length of its blocks.</param>
/// <param name="Excluded">Prefixes of it that are given to nobody.</param>
public sealed record PoolDocument(string Prefix, int BlockLength, IReadOnlyList<string> Excluded)
{
    public const int DefaultIPv4BlockLength = 26;
    public const int DefaultIPv6BlockLength = 122;

    [JsonIgnore]
    public IPNetwork Network => IPNetwork.Parse(Prefix);

    [JsonIgnore]
    public bool IsIPv6 => Network.BaseAddress.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6;
}

/// <summary>A node, as it is in the store.</summary>
/// <param name="Machine">Identity of the machine that has the name.</param>
/// <param name="Generation">Grows each time the machine registers anew.</param>
/// <param name="Underlay">Outer addresses.</param>
/// <param name="Mac">Of its tunnel devices.</param>
public sealed record NodeDocument(
    string Name, string Machine, long Generation, IReadOnlyList<string> Underlay, string Mac, string? Zone, IReadOnlyDictionary<string, string> Labels)
{
    /// <summary>Mark of the registration, by which one that is repeated for want of an answer is known again.</summary>
    public string Attempt { get; init; } = "";

    /// <summary>Boot of the host that registered; empty: it is not known.</summary>
    public string Boot { get; init; } = "";

    /// <summary>The store's lease of the last registration; 0: it was not written down.</summary>
    public long Lease { get; init; }

    /// <summary>For how long it was told that it keeps its blocks once it is lost.</summary>
    public int GraceSeconds { get; init; }

    /// <summary>Whether it gets no more blocks.</summary>
    public bool Draining { get; init; }

    /// <summary>When its lease was found to have run out, by the clock of a controller; null: it lives.</summary>
    public DateTimeOffset? LostSince { get; init; }

    public DateTimeOffset Registered { get; init; }
}

/// <summary>A block that a node holds or once held.</summary>
/// <param name="Holder">The node; null: it is free.</param>
/// <param name="Since">When its holder got it, or it became free.</param>
/// <param name="History">Earlier holders, the last first, at most <see cref="MostHistory"/>.</param>
public sealed record BlockDocument(
    string Network, string Prefix, string? Holder, DateTimeOffset Since, IReadOnlyList<BlockTenure> History)
{
    public const int MostHistory = 8;

    /// <summary>The node of whose block it is a part, lent to another; null: it is a block of its own.</summary>
    public string? LentBy { get; init; }

    [JsonIgnore]
    public string Key => StateKeys.Block(Network, IPNetwork.Parse(Prefix));

    /// <summary>The block without its holder, who goes into the history.</summary>
    public BlockDocument Freed(DateTimeOffset now) => this with
    {
        Holder = null,
        Since = now,
        History = [new BlockTenure(Holder!, Since, now), .. History.Take(MostHistory - 1)],
    };
}

public sealed record BlockTenure(string Node, DateTimeOffset From, DateTimeOffset To);

/// <summary>An address that no node hands out.</summary>
/// <param name="Owner">Who has it, in the words of whoever reserved it.</param>
public sealed record ReservationDocument(string Network, string Address, string Owner, DateTimeOffset Since);

/// <summary>A node found every block leased, where nodes borrow.</summary>
public sealed record WishDocument(string Network, string Node, bool IsIPv6, DateTimeOffset Since);

/// <summary>A prefix that lives behind a node although it is no block of it.</summary>
public sealed record RouteDocument(string Network, string Prefix, string Node);

/// <summary>Which history of the store this is.</summary>
/// <param name="Mark">In force since the revision of this document.</param>
/// <param name="Earlier">Marks before it, the last first.</param>
public sealed record HistoryDocument(string Mark, IReadOnlyList<EarlierMark> Earlier);

/// <param name="From">Revision from which on it was in force.</param>
public sealed record EarlierMark(string Mark, long From);

/// <summary>Where documents are in the store.</summary>
public static class StateKeys
{
    /// <summary>What nodes are told of.</summary>
    public const string State = "state/";

    /// <summary>A key a node that is alive, under its lease.</summary>
    public const string Alive = "alive/";

    /// <summary>Which history this is; controllers follow it, and nodes are told of it in another way.</summary>
    public const string History = "state/history";

    public const string Networks = "state/networks/";
    public const string Nodes = "state/nodes/";

    public static string Network(string name) => Networks + name;

    public static string Node(string name) => Nodes + name;

    public static string NodeAlive(string name) => Alive + name;

    public static string Reservation(string network, IPAddress address) => $"state/reservations/{network}/{address}";

    public static string Wish(string network, string node, bool isIPv6) => $"state/wishes/{network}/{node}/{(isIPv6 ? 6 : 4)}";

    public static string Route(string network, IPNetwork prefix) => $"state/routes/{network}/{prefix.BaseAddress}-{prefix.PrefixLength}";

    public static string Blocks(string network) => $"state/blocks/{network}/";

    public static string Block(string network, IPNetwork prefix) => $"{Blocks(network)}{prefix.BaseAddress}-{prefix.PrefixLength}";

    /// <exception cref="FormatException">The key is none that is written here.</exception>
    public static void Check(string key)
    {
        string[] parts = key.Split('/');
        bool isGood = parts[1] switch
        {
            "networks" or "nodes" => parts.Length == 3,
            "blocks" => parts.Length == 4 && IPNetwork.TryParse(parts[3].Replace('-', '/'), out _),
            "reservations" or "routes" => parts.Length == 4,
            "wishes" => parts.Length == 5,
            _ => true,
        };
        if (!isGood) throw new FormatException("it is no key of a thing of its kind");
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(NetworkDocument))]
[JsonSerializable(typeof(NodeDocument))]
[JsonSerializable(typeof(BlockDocument))]
[JsonSerializable(typeof(ReservationDocument))]
[JsonSerializable(typeof(RouteDocument))]
[JsonSerializable(typeof(WishDocument))]
[JsonSerializable(typeof(HistoryDocument))]
internal sealed partial class StateJson : JsonSerializerContext;

/// <summary>Documents as the store has them: JSON, so that an administrator can read them there.</summary>
public static class StateDocuments
{
    public static byte[] Encode(NetworkDocument network) => JsonSerializer.SerializeToUtf8Bytes(network, StateJson.Default.NetworkDocument);

    public static byte[] Encode(NodeDocument node) => JsonSerializer.SerializeToUtf8Bytes(node, StateJson.Default.NodeDocument);

    public static byte[] Encode(BlockDocument block) => JsonSerializer.SerializeToUtf8Bytes(block, StateJson.Default.BlockDocument);

    public static byte[] Encode(ReservationDocument reservation) => JsonSerializer.SerializeToUtf8Bytes(reservation, StateJson.Default.ReservationDocument);

    public static byte[] Encode(RouteDocument route) => JsonSerializer.SerializeToUtf8Bytes(route, StateJson.Default.RouteDocument);

    public static byte[] Encode(WishDocument wish) => JsonSerializer.SerializeToUtf8Bytes(wish, StateJson.Default.WishDocument);

    public static byte[] Encode(HistoryDocument history) => JsonSerializer.SerializeToUtf8Bytes(history, StateJson.Default.HistoryDocument);

    public static HistoryDocument History(StoreEntry entry) => JsonSerializer.Deserialize(entry.Value.Span, StateJson.Default.HistoryDocument)!;

    public static NetworkDocument Network(StoreEntry entry) => JsonSerializer.Deserialize(entry.Value.Span, StateJson.Default.NetworkDocument)!;

    public static NodeDocument Node(StoreEntry entry) => JsonSerializer.Deserialize(entry.Value.Span, StateJson.Default.NodeDocument)!;

    public static BlockDocument Block(StoreEntry entry) => JsonSerializer.Deserialize(entry.Value.Span, StateJson.Default.BlockDocument)!;

    public static ReservationDocument Reservation(StoreEntry entry) => JsonSerializer.Deserialize(entry.Value.Span, StateJson.Default.ReservationDocument)!;

    public static WishDocument Wish(StoreEntry entry) => JsonSerializer.Deserialize(entry.Value.Span, StateJson.Default.WishDocument)!;

    public static RouteDocument Route(StoreEntry entry) => JsonSerializer.Deserialize(entry.Value.Span, StateJson.Default.RouteDocument)!;
}
