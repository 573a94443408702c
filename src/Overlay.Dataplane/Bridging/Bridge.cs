using System.Collections.Frozen;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Bridging;

/// <summary>Whose address asks and neighbour solicitations are answered with, without asking the other nodes.</summary>
/// <param name="IsRouter">Set in advertisements: a router that seems to be none is no longer used (RFC 4861, 7.2.5).</param>
public readonly record struct BridgeNeighbour(MacAddress Mac, bool IsRouter);

/// <summary>
/// What a bridged segment forwards by: which MAC address is where, and where to send what is for all or for nobody known. Immutable but for
/// the addresses learned, which outlive a snapshot.
/// </summary>
public sealed class Bridge
{
    private readonly FrozenDictionary<ulong, int> _static;
    private readonly FrozenDictionary<UInt128, BridgeNeighbour> _neighbours;
    private readonly FrozenDictionary<Peer, int> _locations;
    private readonly FrozenDictionary<int, Peer> _peers;
    private readonly long _ageingMilliseconds;

    /// <param name="ownMac">Of the segment's device; never anywhere else.</param>
    /// <param name="peers">Number, the peer that receives, and how it is sent to: with the port of the segment's encapsulation.</param>
    /// <param name="flood">Numbers of the peers that broadcast, multicast and unknown addresses are sent to.</param>
    /// <param name="fixedMacs">Location by address; beside <paramref name="ownMac"/>.</param>
    /// <param name="neighbours">By address, IPv4 ones mapped.</param>
    public Bridge(
        MacAddress ownMac, IReadOnlyList<(int Number, Peer Peer, Peer Destination)> peers, IEnumerable<int> flood,
        IEnumerable<(MacAddress Mac, int Location)> fixedMacs, IEnumerable<(UInt128 Address, BridgeNeighbour Neighbour)> neighbours)
    {
        _locations = peers.ToFrozenDictionary(each => each.Peer, each => each.Number);
        _peers = peers.ToFrozenDictionary(each => each.Number, each => each.Destination);
        Flood = [.. flood.Select(number => _peers[number])];
        _static = fixedMacs.Append((Mac: ownMac, Location: MacTable.Local)).ToFrozenDictionary(each => MacBits.Of(each.Mac), each => each.Location);
        _neighbours = neighbours.ToFrozenDictionary(each => each.Address, each => each.Neighbour);
        Numbers = peers.ToFrozenDictionary(each => each.Peer.Name, each => each.Number);
    }

    /// <summary>Where broadcast, multicast and unknown addresses are sent.</summary>
    public Peer[] Flood { get; }

    /// <summary>Addresses learned; null where none are.</summary>
    public MacTable? Learned { get; init; }

    /// <summary>Neighbours learned from their own ARP and neighbour discovery; null where none are. Never without <see cref="Learned"/>.</summary>
    public NeighbourTable? LearnedNeighbours { get; init; }

    /// <summary>True: frames to reserved groups are forwarded too, but for MAC PAUSE.</summary>
    public bool ForwardsReserved { get; init; }

    /// <summary>How long an address is known after its last frame.</summary>
    public required int AgeingSeconds
    {
        get => (int)(_ageingMilliseconds / 1000);
        init => _ageingMilliseconds = value * 1000L;
    }

    /// <summary>False: frames to unknown addresses are dropped.</summary>
    public bool FloodsUnknown { get; init; } = true;

    /// <summary>False: ARP requests and solicitations for addresses that are no known neighbour's are dropped.</summary>
    public bool FloodsUnknownNeighbours { get; init; } = true;

    /// <summary>Numbers of the peers, by name; the snapshot that follows keeps them.</summary>
    public FrozenDictionary<string, int> Numbers { get; }

    /// <summary>Highest number given so far.</summary>
    public required int LastNumber { get; init; }

    /// <summary>Fixed addresses and their locations.</summary>
    public IReadOnlyDictionary<ulong, int> Static => _static;

    /// <summary>Neighbours of the configuration, by address; IPv4 ones mapped.</summary>
    public IReadOnlyDictionary<UInt128, BridgeNeighbour> Neighbours => _neighbours;

    /// <summary>The present, for the other methods. Read once a batch.</summary>
    public long Now => Learned?.Now ?? 0;

    /// <summary>The number of a peer that frames come from.</summary>
    public int LocationOf(Peer peer) => _locations[peer];

    /// <summary>How a location is sent to; null for our own side and for a peer that is no more.</summary>
    public Peer? PeerAt(int location) => _peers.GetValueOrDefault(location);

    /// <summary>Where an address is, or <see cref="MacTable.Unknown"/>.</summary>
    public int Find(ulong mac, long now)
    {
        if (_static.TryGetValue(mac, out int location)) return location;
        return Learned is { } learned && MacBits.IsHost(mac) ? learned.Find(mac, now, _ageingMilliseconds) : MacTable.Unknown;
    }

    /// <summary>Takes note of a source address. Those of groups, and zero, are nobody's and not noted.</summary>
    /// <param name="mac">Source of a frame.</param>
    /// <param name="location">Where the frame came from.</param>
    /// <param name="now"><see cref="Now"/>.</param>
    /// <param name="outcome">What became of it.</param>
    /// <returns>False when the address is a fixed one of another location: the frame must be dropped.</returns>
    public bool TryLearn(ulong mac, int location, long now, out LearnOutcome outcome)
    {
        outcome = LearnOutcome.Known;
        if (_static.TryGetValue(mac, out int given)) return given == location;
        if (Learned is { } learned && MacBits.IsHost(mac)) outcome = learned.Learn(mac, location, now, _ageingMilliseconds);
        return true;
    }

    /// <summary>False when a source address is a fixed one of another location.</summary>
    public bool MayComeFrom(ulong mac, int location) => !_static.TryGetValue(mac, out int given) || given == location;

    /// <summary>True where frames to a destination are not relayed.</summary>
    public bool IsReserved(ulong destination) => MacBits.IsReserved(destination) && (!ForwardsReserved || MacBits.IsPause(destination));

    /// <summary>
    /// The neighbour of an address, where it may be answered for: a configured one unless it is on our own side, where it hears the question
    /// itself; a learned one while its MAC is known to be at a peer.
    /// </summary>
    /// <param name="address">IPv4 ones mapped.</param>
    /// <param name="now"><see cref="Now"/>.</param>
    /// <param name="neighbour">Who has it.</param>
    public bool TryFindRemote(UInt128 address, long now, out BridgeNeighbour neighbour)
    {
        if (_neighbours.TryGetValue(address, out neighbour)) return Find(MacBits.Of(neighbour.Mac), now) != MacTable.Local;
        return LearnedNeighbours is { } learned && learned.TryFind(address, now, _ageingMilliseconds, out neighbour)
            && Find(MacBits.Of(neighbour.Mac), now) > MacTable.Local;
    }

    /// <summary>Takes note of whom a frame, ARP or neighbour discovery without a VLAN tag, comes from.</summary>
    /// <param name="frame">Its source was accepted.</param>
    /// <param name="packet">Where things are in it.</param>
    /// <param name="unfinished">Its checksum was left to us.</param>
    /// <param name="now"><see cref="Now"/>.</param>
    /// <returns>False when there was no room.</returns>
    internal bool ObserveNeighbour(ReadOnlySpan<byte> frame, in InnerPacket packet, bool unfinished, long now) =>
        LearnedNeighbours is not { } learned || packet.VlanTags > 0 || NeighbourSnooping.Observe(learned, frame, packet, unfinished, now, _ageingMilliseconds);

    /// <summary>Removes what was learned and is too old or at a peer that is no more. Called now and then, by any thread.</summary>
    public void Sweep()
    {
        Learned?.Sweep(Learned.Now, _ageingMilliseconds, location => location == MacTable.Local || _peers.ContainsKey(location));
        LearnedNeighbours?.Sweep(Now, _ageingMilliseconds);
    }

    /// <summary>The same bridge with tables of its own, which hold what is learned by now.</summary>
    /// <param name="ownMac">As in the constructor.</param>
    /// <param name="copyOf">The peer to use for each.</param>
    internal Bridge Copy(MacAddress ownMac, Func<Peer, Peer> copyOf) => new(
        ownMac,
        [.. _locations.Select(each => (each.Value, copyOf(each.Key), copyOf(_peers[each.Value])))],
        Flood.Select(peer => Numbers[peer.Name]),
        _static.Where(each => each.Key != MacBits.Of(ownMac)).Select(each => (MacBits.ToAddress(each.Key), each.Value)),
        _neighbours.Select(each => (each.Key, each.Value)))
    {
        Learned = Learned?.WithLimit(Learned.Limit),
        LearnedNeighbours = LearnedNeighbours?.WithLimit(LearnedNeighbours.Limit),
        AgeingSeconds = AgeingSeconds,
        ForwardsReserved = ForwardsReserved,
        FloodsUnknown = FloodsUnknown,
        FloodsUnknownNeighbours = FloodsUnknownNeighbours,
        LastNumber = LastNumber,
    };

    /// <summary>Learned neighbours that are not too old.</summary>
    public IReadOnlyList<LearnedNeighbour> ListNeighbours() => LearnedNeighbours?.List(Now, _ageingMilliseconds) ?? [];

    /// <summary>Learned addresses that are known now.</summary>
    public IReadOnlyList<LearnedMac> ListLearned() =>
        [.. (Learned?.List(Learned.Now, _ageingMilliseconds) ?? []).Where(each => each.Location == MacTable.Local || _peers.ContainsKey(each.Location))];
}
