using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Tests.Ingress;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Bridging;

/// <summary>Where frames of a bridged segment go: against a bridge written as plainly as can be, and case by case.</summary>
public sealed class BridgedForwardingTests
{
    private const int OwnSide = -1;

    private static readonly MacAddress[] Reserved = [new([1, 0x80, 0xc2, 0, 0, 0]), new([1, 0x80, 0xc2, 0, 0, 1]), new([1, 0x80, 0xc2, 0, 0, 0xe])];

    [Fact]
    public void Forward_RandomFrames_IsWhatAPlainBridgeDoes() => Seeded.Check(40, random =>
    {
        var options = new BridgeLabOptions
        {
            Format = random.Next(2) == 0 ? TunnelFormat.Vxlan : new TunnelFormat { Encapsulation = Encapsulation.Geneve, KeepsVlanTags = true },
            Learns = random.Next(8) != 0,
            LearnLimit = random.Next(1, 20),
            FloodsUnknown = random.Next(3) != 0,
            ForwardsReserved = random.Next(2) == 0,
            Fixed = [(BridgeFrames.Host(200), 0), (BridgeFrames.Host(201), 2), (BridgeFrames.Host(202), OwnSide)],
            // So little room that copies have to wait for an empty batch.
            TrainCapacity = random.Next(2) == 0 ? 2 : 64,
        };
        var lab = new BridgeLab(options);
        var model = new PlainBridge(options);
        for (int number = 0; number < 300; number++)
        {
            if (random.Next(20) == 0)
            {
                int seconds = random.Next(1, BridgeLab.AgeingSeconds + 3);
                lab.Time.Advance(TimeSpan.FromSeconds(seconds));
                model.Advance(seconds);
                lab.Bridge.Sweep();
            }
            lab.Underlay.Sent.Clear();
            lab.Device.Written.Clear();
            int from = random.Next(OwnSide, lab.Peers.Length);
            byte[] frame = BridgeFrames.Plain(Destination(random), Source(random), number);
            if (from == OwnSide) lab.FromDevice(frame);
            else lab.FromPeer(from, frame);

            int[] expected = model.Forward(new MacAddress(frame), new MacAddress(frame.AsSpan(6)), from);
            int[] reached = [.. lab.Sent.Select(sent => sent.Peer), .. lab.Device.Written.Select(_ => OwnSide)];
            Assert.Equal(expected.Order(), reached.Order());
            Assert.All(lab.Sent.Select(sent => sent.Frame).Concat(lab.Device.Written.Select(written => written.Bytes)), bytes => Assert.Equal(frame, bytes));
            lab.CheckBalance();
        }
        Assert.Equal(model.Drops.OrderBy(drop => drop.Key), Enum.GetValues<DropReason>().Where(reason => lab.Drops(reason) > 0)
            .Select(reason => KeyValuePair.Create(reason, lab.Drops(reason))));
        Assert.Equal((model.Moves, model.NotLearned), (lab.Counters.MacMoves, lab.Counters.MacsNotLearned));
        Assert.Equal(model.Known, lab.Bridge.ListLearned().Select(learned => (learned.Mac.ToString(), learned.Location - 1)).Order());
    });

    [Fact]
    public void Forward_FrameOfAPeer_ReachesNoOtherPeerWhateverItsDestination()
    {
        var lab = new BridgeLab();
        lab.FromPeer(1, BridgeFrames.Plain(MacAddress.Broadcast, BridgeFrames.Host(2)));
        lab.FromPeer(0, BridgeFrames.Plain(BridgeFrames.Host(2), BridgeFrames.Host(1)), BridgeFrames.Plain(MacAddress.Broadcast, BridgeFrames.Host(1)));

        Assert.Empty(lab.Underlay.Sent);
        Assert.Equal(3, lab.Device.Written.Count);
    }

    /// <summary>What joins a super-packet is not looked at twice, unless it comes from elsewhere.</summary>
    [Fact]
    public void Forward_SegmentOfAnotherPeerInTheNameOfAFixedMac_IsRefusedThoughItContinuesTheFlow()
    {
        MacAddress host = BridgeFrames.Host(9);
        var lab = new BridgeLab(new BridgeLabOptions { Fixed = [(host, 0)] });
        var first = new PlainPacket { Payload = new byte[100] };
        byte[] sound = BridgeFrames.Addressed(first.Build(), BridgeFrames.Host(1), host);
        byte[] forged = BridgeFrames.Addressed(first.Next(new byte[100]).Build(), BridgeFrames.Host(1), host);
        lab.Underlay.Deliver(lab.Peers[0].Endpoint, IngressNode.Tunnel(sound));
        lab.Underlay.Deliver(lab.Peers[1].Endpoint, IngressNode.Tunnel(forged));
        lab.RunIngress();

        Assert.Equal(sound, Assert.Single(lab.Device.Written).Bytes);
        Assert.Equal(1, lab.Drops(DropReason.IngressSpoofedMac));
        lab.CheckBalance();
    }

    [Fact]
    public void Forward_FramesThatAreNotIp_LeaveByPortsOfTheirAddresses()
    {
        var lab = new BridgeLab(new BridgeLabOptions { Flood = [1] });
        for (int turn = 0; turn < 2; turn++)
        {
            for (byte host = 0; host < 32; host++) lab.FromDevice(BridgeFrames.Plain(MacAddress.Broadcast, BridgeFrames.Host(host)));
        }

        int[] ports = [.. lab.Underlay.Sent.Select(sent => (int)sent.Train.SourcePortIndex)];
        Assert.Equal(ports[..32], ports[32..]);
        Assert.InRange(ports.Distinct().Count(), 24, 32);
    }

    [Fact]
    public void Forward_ToAllWhileTheWayToOneLeadsBackToUs_ReachesTheOthersAndCountsIt()
    {
        var lab = new BridgeLab();
        lab.Peers[1].Path.LeadsBack = true;
        lab.FromDevice(BridgeFrames.Plain(MacAddress.Broadcast, BridgeFrames.Host(1)));

        Assert.Equal([0, 2], lab.Sent.Select(sent => sent.Peer));
        Assert.Equal(1, lab.Drops(DropReason.EgressLoop));
        lab.CheckBalance();
    }

    [Fact]
    public void Forward_TrainWhoseSourcesDiffer_LearnsEach()
    {
        var lab = new BridgeLab(new BridgeLabOptions { Fixed = [(BridgeFrames.Host(9), 2)] });
        byte[][] frames = [.. Enumerable.Range(1, 9).Select(host => BridgeFrames.Udp(BridgeLab.OwnMac, BridgeFrames.Host((byte)host), ipv6: false, 100))];

        lab.FromPeer(0, frames);

        Assert.Equal(8, lab.Device.Written.Count);
        Assert.Equal(1, lab.Drops(DropReason.IngressSpoofedMac));
        Assert.Equal(8, lab.Bridge.ListLearned().Count);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Forward_SourceOfAGroupOrZero_IsDroppedByReason(bool fromPeer)
    {
        var lab = new BridgeLab();
        foreach (MacAddress source in new[] { MacAddress.Broadcast, new MacAddress([1, 0, 0x5e, 0, 0, 1]), default })
        {
            if (fromPeer) lab.FromPeer(0, BridgeFrames.Plain(MacAddress.Broadcast, source));
            else lab.FromDevice(BridgeFrames.Plain(MacAddress.Broadcast, source));
        }

        Assert.Equal(3, lab.Drops(fromPeer ? DropReason.IngressSourceMac : DropReason.EgressSourceMac));
        Assert.Empty(lab.Underlay.Sent);
        Assert.Empty(lab.Device.Written);
        Assert.Empty(lab.Bridge.ListLearned());
    }

    [Fact]
    public void Forward_OwnMacFromAPeer_IsALoopAndDropped()
    {
        var lab = new BridgeLab();

        lab.FromPeer(0, BridgeFrames.Plain(MacAddress.Broadcast, BridgeLab.OwnMac));

        Assert.Equal(1, lab.Drops(DropReason.IngressSpoofedMac));
        Assert.Empty(lab.Device.Written);
    }

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 2)]
    public void Forward_ReservedGroups_PassOnlyWhereConfiguredAndPauseNever(bool forwards, int passing)
    {
        var lab = new BridgeLab(new BridgeLabOptions { ForwardsReserved = forwards });
        foreach (MacAddress group in Reserved)
        {
            lab.FromDevice(BridgeFrames.Plain(group, BridgeFrames.Host(1)));
            lab.FromPeer(0, BridgeFrames.Plain(group, BridgeFrames.Host(2)));
        }

        Assert.Equal(passing * lab.Peers.Length, lab.Sent.Count());
        Assert.Equal(passing, lab.Device.Written.Count);
        Assert.Equal((Reserved.Length - passing, Reserved.Length - passing), (lab.Drops(DropReason.EgressReservedMac), lab.Drops(DropReason.IngressReservedMac)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Forward_VlanTags_AreStrippedAndRefusedOrKept(bool keeps)
    {
        var lab = new BridgeLab(new BridgeLabOptions { Format = new TunnelFormat { KeepsVlanTags = keeps } });
        VlanTag[] tags = [new(EtherTypes.ProviderVlan, 5), new(EtherTypes.Vlan, 7)];
        byte[] tagged = BridgeFrames.Plain(BridgeFrames.Host(2), BridgeFrames.Host(1), 3, tags);
        byte[] untagged = [.. tagged[..12], .. tagged[20..]];

        lab.FromDevice(tagged);
        lab.FromPeer(0, BridgeFrames.Plain(BridgeFrames.Host(1), BridgeFrames.Host(2), 3, tags));

        Assert.All(lab.Sent, sent => Assert.Equal(keeps ? BridgeFrames.Plain(BridgeFrames.Host(2), BridgeFrames.Host(1), 3, tags) : untagged, sent.Frame));
        Assert.Equal(lab.Peers.Length, lab.Sent.Count());
        Assert.Equal((keeps ? 1 : 0, keeps ? 0 : 1), (lab.Device.Written.Count, lab.Drops(DropReason.IngressInnerVlan)));
    }

    [Fact]
    public void Forward_FramesOneByteShort_AreCountedAsMalformed()
    {
        var lab = new BridgeLab();
        byte[] frame = BridgeFrames.Plain(MacAddress.Broadcast, BridgeFrames.Host(1));
        for (int length = 0; length < EthernetFrame.MinHeaderLength; length++)
        {
            lab.FromDevice(frame[..length]);
            lab.FromPeer(0, frame[..length]);
        }

        Assert.Equal((14, 14), (lab.Drops(DropReason.EgressMalformed), lab.Drops(DropReason.IngressInnerMalformed)));
        Assert.Empty(lab.Bridge.ListLearned());
        lab.CheckBalance();
    }

    private static MacAddress Source(Random random) => random.Next(12) switch
    {
        0 => new MacAddress([1, 0, 0x5e, 0, 0, 9]),
        1 => default,
        2 => BridgeLab.OwnMac,
        3 or 4 => BridgeFrames.Host((byte)random.Next(200, 203)),
        _ => BridgeFrames.Host((byte)random.Next(24)),
    };

    private static MacAddress Destination(Random random) => random.Next(12) switch
    {
        0 => MacAddress.Broadcast,
        1 => new MacAddress([1, 0, 0x5e, 0, 0, 9]),
        2 => Reserved[random.Next(Reserved.Length)],
        3 => BridgeLab.OwnMac,
        4 or 5 => BridgeFrames.Host((byte)random.Next(200, 203)),
        _ => BridgeFrames.Host((byte)random.Next(24)),
    };

    /// <summary>A bridge of dictionaries of text.</summary>
    private sealed class PlainBridge(BridgeLabOptions options)
    {
        private readonly Dictionary<string, (int Where, int Seen)> _learned = [];
        private readonly Dictionary<string, int> _fixed = options.Fixed.Append((Mac: BridgeLab.OwnMac, Peer: OwnSide))
            .ToDictionary(each => each.Mac.ToString(), each => each.Peer);
        private int _now;

        public SortedDictionary<DropReason, long> Drops { get; } = [];

        public long Moves { get; private set; }

        public long NotLearned { get; private set; }

        public IEnumerable<(string, int)> Known => _learned.Select(entry => (entry.Key, entry.Value.Where)).Order();

        public void Advance(int seconds)
        {
            _now += seconds;
            foreach ((string mac, (int Where, int Seen) entry) in _learned)
            {
                if (_now - entry.Seen > BridgeLab.AgeingSeconds) _learned.Remove(mac);
            }
        }

        /// <returns>Peers that the frame is sent to, or our own side.</returns>
        public int[] Forward(MacAddress destination, MacAddress source, int from)
        {
            bool egress = from == OwnSide;
            string to = destination.ToString(), by = source.ToString();
            if (source.IsGroup || source == default) return Drop(egress ? DropReason.EgressSourceMac : DropReason.IngressSourceMac);
            if (to.StartsWith("01:80:c2:00:00:0", StringComparison.Ordinal) && !(options.ForwardsReserved && to[^1] != '1'))
                return Drop(egress ? DropReason.EgressReservedMac : DropReason.IngressReservedMac);
            if (_fixed.TryGetValue(by, out int place))
            {
                if (place != from) return Drop(egress ? DropReason.EgressSpoofedMac : DropReason.IngressSpoofedMac);
            }
            else if (options.Learns)
            {
                if (_learned.TryGetValue(by, out (int Where, int Seen) known))
                {
                    if (known.Where != from) Moves++;
                    _learned[by] = (from, _now);
                }
                else if (_learned.Count < options.LearnLimit) _learned[by] = (from, _now);
                else NotLearned++;
            }
            if (!egress) return [OwnSide];
            if (destination.IsGroup) return [0, 1, 2];
            if (_fixed.TryGetValue(to, out int at) || (_learned.TryGetValue(to, out (int Where, int Seen) entry) && (at = entry.Where) == entry.Where))
                return at == OwnSide ? Drop(DropReason.EgressLocalMac) : [at];
            return options.FloodsUnknown ? [0, 1, 2] : Drop(DropReason.EgressUnknownMac);
        }

        private int[] Drop(DropReason reason)
        {
            Drops[reason] = Drops.GetValueOrDefault(reason) + 1;
            return [];
        }
    }
}
