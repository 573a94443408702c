using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Bridging;

/// <summary>Questions for neighbours that are known are answered on the spot, in their name; all others reach everybody.</summary>
public sealed class NeighbourSuppressionTests
{
    private static readonly MacAddress Asker = BridgeFrames.Host(1);
    private static readonly MacAddress Remote = BridgeFrames.Host(2);
    private static readonly uint AskerV4 = EgressLab.V4(9, 1);
    private static readonly uint RemoteV4 = EgressLab.V4(9, 2);
    private static readonly UInt128 AskerV6 = EgressLab.V6(9, 1);
    private static readonly UInt128 RemoteV6 = EgressLab.V6(9, 2);

    private static byte[] AskV4 => BridgeFrames.Arp(ArpOperation.Request, Asker, AskerV4, RemoteV4);

    private static byte[] AskV6 => BridgeFrames.Solicitation(Asker, AskerV6, RemoteV6);

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Ask_ForAConfiguredNeighbour_IsAnsweredInItsName(bool ipv6, bool isRouter)
    {
        var neighbour = new BridgeNeighbour(Remote, isRouter);
        var lab = new BridgeLab(new BridgeLabOptions { Neighbours = [(ipv6 ? RemoteV6 : IpBits.Mapped(RemoteV4), neighbour)] });

        lab.FromDevice(ipv6 ? AskV6 : AskV4);

        AssertAnswered(lab, ipv6, isRouter);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Ask_ForAConfiguredNeighbourOnOurOwnSide_IsLeftToIt(bool ipv6)
    {
        var lab = new BridgeLab(new BridgeLabOptions
        {
            Neighbours = [(ipv6 ? RemoteV6 : IpBits.Mapped(RemoteV4), new BridgeNeighbour(Remote, false))],
            Fixed = [(Remote, -1)],
        });

        lab.FromDevice(ipv6 ? AskV6 : AskV4);

        AssertFlooded(lab);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Ask_ForANeighbourThatSpokeBehindAPeer_IsAnsweredUntilItIsTooOld(bool ipv6)
    {
        var lab = new BridgeLab(new BridgeLabOptions { LearnsNeighbours = true });
        lab.FromPeer(1, ipv6 ? BridgeFrames.Advertisement(Remote, RemoteV6, NeighborFlags.Override) : BridgeFrames.Arp(ArpOperation.Reply, Remote, RemoteV4, AskerV4));
        lab.Device.Written.Clear();

        lab.FromDevice(ipv6 ? AskV6 : AskV4);
        AssertAnswered(lab, ipv6, isRouter: false);
        lab.Device.Written.Clear();
        lab.Time.Advance(TimeSpan.FromSeconds(BridgeLab.AgeingSeconds + 1));
        lab.FromDevice(ipv6 ? AskV6 : AskV4);

        AssertFlooded(lab);
        lab.Bridge.Sweep();
        Assert.DoesNotContain(lab.Bridge.ListNeighbours(), each => each.Neighbour.Mac == Remote);
    }

    /// <summary>An address in one VLAN is none in another.</summary>
    [Fact]
    public void Learn_FromATaggedFrame_IsNotDone()
    {
        var lab = new BridgeLab(new BridgeLabOptions { LearnsNeighbours = true, Format = new TunnelFormat { KeepsVlanTags = true } });
        byte[] untagged = BridgeFrames.Arp(ArpOperation.Reply, Remote, RemoteV4, AskerV4);
        lab.FromPeer(1, [.. untagged[..12], 0x81, 0, 0, 5, .. untagged[12..]]);

        Assert.Single(lab.Device.Written);
        Assert.Empty(lab.Bridge.ListNeighbours());
    }

    [Fact]
    public void Ask_ForALearnedNeighbour_WhereNothingIsLearned_ReachesAll()
    {
        var lab = new BridgeLab();
        lab.FromPeer(1, BridgeFrames.Arp(ArpOperation.Reply, Remote, RemoteV4, AskerV4));
        lab.Device.Written.Clear();

        lab.FromDevice(AskV4);

        AssertFlooded(lab);
    }

    [Fact]
    public void Ask_ForALearnedNeighbourThatMovedToOurSide_ReachesAll()
    {
        var lab = new BridgeLab(new BridgeLabOptions { LearnsNeighbours = true });
        lab.FromPeer(1, BridgeFrames.Arp(ArpOperation.Reply, Remote, RemoteV4, AskerV4));
        lab.FromDevice(BridgeFrames.Plain(Asker, Remote));
        lab.Underlay.Sent.Clear();
        lab.Device.Written.Clear();

        lab.FromDevice(AskV4);

        AssertFlooded(lab);
    }

    [Fact]
    public void Ask_ForAnAddressThatAnotherMacTookOver_IsAnsweredWithTheLast()
    {
        var lab = new BridgeLab(new BridgeLabOptions { LearnsNeighbours = true });
        lab.FromPeer(1, BridgeFrames.Arp(ArpOperation.Reply, BridgeFrames.Host(7), RemoteV4, AskerV4));
        lab.FromPeer(2, BridgeFrames.Arp(ArpOperation.Request, Remote, RemoteV4, RemoteV4));
        lab.Device.Written.Clear();

        lab.FromDevice(AskV4);

        AssertAnswered(lab, ipv6: false, isRouter: false);
    }

    [Fact]
    public void Learn_AdvertisementsAndSolicitations_FollowTheRulesOfNeighbourDiscovery()
    {
        var lab = new BridgeLab(new BridgeLabOptions { LearnsNeighbours = true });
        // A solicitation does not say whether its sender is a router.
        lab.FromPeer(1, BridgeFrames.Solicitation(Remote, RemoteV6, AskerV6));
        Assert.Empty(lab.Bridge.ListNeighbours());
        lab.FromPeer(1, BridgeFrames.Advertisement(Remote, RemoteV6, NeighborFlags.Router));
        Assert.Equal(new BridgeNeighbour(Remote, true), Assert.Single(lab.Bridge.ListNeighbours()).Neighbour);
        // Without the override flag another MAC does not displace it (RFC 4861, 7.2.5), with it it does.
        lab.FromPeer(2, BridgeFrames.Advertisement(BridgeFrames.Host(7), RemoteV6, NeighborFlags.None));
        Assert.Equal(Remote, Assert.Single(lab.Bridge.ListNeighbours()).Neighbour.Mac);
        lab.FromPeer(2, BridgeFrames.Advertisement(BridgeFrames.Host(7), RemoteV6, NeighborFlags.Override));
        Assert.Equal(new BridgeNeighbour(BridgeFrames.Host(7), false), Assert.Single(lab.Bridge.ListNeighbours()).Neighbour);
        // Another MAC that uses the address ends the claim, and says no more.
        lab.FromPeer(1, BridgeFrames.Solicitation(Remote, RemoteV6, AskerV6));
        Assert.Empty(lab.Bridge.ListNeighbours());
    }

    [Fact]
    public void Learn_WhatSpeaksForOthersOrIsUnsound_IsNotBelieved()
    {
        var lab = new BridgeLab(new BridgeLabOptions { LearnsNeighbours = true });
        byte[] forwarded = BridgeFrames.Advertisement(Remote, RemoteV6, NeighborFlags.Override);
        forwarded[21] = 254;
        byte[] corrupt = BridgeFrames.Advertisement(Remote, RemoteV6, NeighborFlags.Override);
        corrupt[^1] ^= 1;
        byte[][] frames =
        [
            BridgeFrames.Arp(ArpOperation.Reply, BridgeFrames.Host(7), RemoteV4, AskerV4, senderMac: Remote),
            BridgeFrames.Arp(ArpOperation.Request, Remote, 0, RemoteV4),
            BridgeFrames.Arp(ArpOperation.Reply, Remote, 0xe000_0001, AskerV4),
            BridgeFrames.Arp(ArpOperation.Reply, Remote, 0x7f00_0001, AskerV4),
            BridgeFrames.Arp((ArpOperation)3, Remote, RemoteV4, AskerV4),
            BridgeFrames.Advertisement(BridgeFrames.Host(7), RemoteV6, NeighborFlags.Override, mac: Remote),
            BridgeFrames.Advertisement(Remote, IpBits.Mapped(RemoteV4), NeighborFlags.Override),
            BridgeFrames.Solicitation(Remote, 0, RemoteV6),
            forwarded,
            corrupt,
        ];

        foreach (byte[] frame in frames)
        {
            lab.FromPeer(1, frame);
            lab.FromDevice(BridgeFrames.Addressed([.. frame], new MacAddress(frame), new MacAddress(frame.AsSpan(6))));
        }

        Assert.Empty(lab.Bridge.ListNeighbours());
        lab.CheckBalance();
    }

    [Fact]
    public void Learn_MoreThanTheLimit_IsCountedAndKeepsTheFirst()
    {
        var lab = new BridgeLab(new BridgeLabOptions { LearnsNeighbours = true, LearnLimit = 8 });
        for (int host = 0; host < 20; host++) lab.FromPeer(1, BridgeFrames.Arp(ArpOperation.Reply, Remote, EgressLab.V4(9, 10 + host), AskerV4));

        Assert.Equal(8, lab.Bridge.ListNeighbours().Count);
        Assert.Equal(12, lab.Counters.NeighboursNotLearned);
        lab.Device.Written.Clear();
        lab.FromDevice(BridgeFrames.Arp(ArpOperation.Request, Asker, AskerV4, EgressLab.V4(9, 10)));
        Assert.Single(lab.Device.Written);
    }

    [Fact]
    public void Ask_ToProbeOrAnnounceAnAddress_ReachesAllEvenWhereItIsKnown()
    {
        var neighbour = new BridgeNeighbour(Remote, false);
        var lab = new BridgeLab(new BridgeLabOptions { Neighbours = [(IpBits.Mapped(RemoteV4), neighbour), (RemoteV6, neighbour)] });
        byte[][] questions =
        [
            BridgeFrames.Arp(ArpOperation.Request, Asker, 0, RemoteV4),
            BridgeFrames.Arp(ArpOperation.Request, Asker, RemoteV4, RemoteV4),
            BridgeFrames.Solicitation(Asker, 0, RemoteV6),
        ];

        foreach (byte[] question in questions) lab.FromDevice(question);

        Assert.Empty(lab.Device.Written);
        Assert.Equal(questions.Length * lab.Peers.Length, lab.Sent.Count());
    }

    [Fact]
    public void Ask_ForAStranger_WhereOnlyKnownOnesAreAskedFor_IsDropped()
    {
        var lab = new BridgeLab(new BridgeLabOptions { FloodsUnknownNeighbours = false });

        lab.FromDevice(AskV4);
        lab.FromDevice(AskV6);

        Assert.Equal(2, lab.Drops(DropReason.EgressUnknownNeighbor));
        Assert.Empty(lab.Underlay.Sent);
    }

    private static void AssertAnswered(BridgeLab lab, bool ipv6, bool isRouter)
    {
        Assert.Empty(lab.Underlay.Sent);
        byte[] answer = Assert.Single(lab.Device.Written).Bytes;
        Assert.Equal((Asker, Remote), (new MacAddress(answer), new MacAddress(answer.AsSpan(6))));
        if (!ipv6)
        {
            Assert.Equal(WireStatus.Ok, ArpPacket.TryParse(answer.AsSpan(14), out ArpPacket arp));
            Assert.Equal((ArpOperation.Reply, Remote, RemoteV4, AskerV4), (arp.Operation, arp.SenderMac, arp.SenderAddress, arp.TargetAddress));
            return;
        }
        Assert.Equal(WireStatus.Ok, Ipv6Packet.TryParse(answer.AsSpan(14), out Ipv6Packet ip));
        Assert.Equal(WireStatus.Ok, NeighborMessage.TryParse(ip.UpperPayload, out NeighborMessage message));
        Assert.Equal((RemoteV6, Remote, isRouter), (message.Target, message.LinkLayerAddress, message.Flags.HasFlag(NeighborFlags.Router)));
    }

    private static void AssertFlooded(BridgeLab lab)
    {
        Assert.Empty(lab.Device.Written);
        Assert.Equal([0, 1, 2], lab.Sent.Select(sent => sent.Peer).Order());
    }
}
