using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Tunnels;

/// <summary>What is in front of the inner IP packet, byte for byte.</summary>
public sealed class HeaderTests
{
    private static readonly byte[] Macs = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

    public static TheoryData<string, bool, byte[]> Headers => new()
    {
        { "vxlan", false, [0x08, 0, 0, 0, 0, 0, 42, 0, .. Macs, 0x08, 0x00] },
        { "vxlan, group policy", true, [0x88, 0, 0xab, 0xcd, 0, 0, 42, 0, .. Macs, 0x86, 0xdd] },
        { "geneve", false, [0, 0, 0x65, 0x58, 0, 0, 42, 0, .. Macs, 0x08, 0x00] },
        { "geneve, options", true, [4, 0x40, 0x65, 0x58, 0, 0, 42, 0, .. Formats.Options, .. Macs, 0x86, 0xdd] },
        { "geneve, bare IP", false, [0, 0, 0x08, 0x00, 0, 0, 42, 0] },
        { "geneve, bare IP", true, [0, 0, 0x86, 0xdd, 0, 0, 42, 0] },
        { "geneve, bare IP, options", false, [4, 0x40, 0x08, 0x00, 0, 0, 42, 0, .. Formats.Options] },
    };

    [Theory]
    [MemberData(nameof(Headers))]
    public void Process_AnyFormat_WritesItsHeaderInFrontOfThePacket(string format, bool isIpv6, byte[] header)
    {
        var lab = new EgressLab(format: Formats.Of(format));
        InnerFrame frame = Frame(isIpv6);
        lab.Deliver(frame.Unfinished(), frame.Offload(0));
        lab.Run();
        Assert.Equal([.. header, .. frame.Finished()[14..]], Assert.Single(lab.Underlay.Sent).Bytes);
        Assert.Equal(header.Length, Formats.Of(format).PrefixLength);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Process_TagsKept_LeaveInFrontOfTheEtherType(int tags)
    {
        var lab = new EgressLab(format: Formats.Of("vxlan, tags kept"));
        InnerFrame frame = Frame(isIpv6: false) with { Tags = [.. Enumerable.Repeat(new VlanTag(EtherTypes.Vlan, 7), tags)] };
        InnerFrame super = frame with { Payload = new byte[3000] };
        lab.Deliver(frame.Unfinished(), frame.Offload(0));
        lab.Deliver(super.Unfinished(), super.Offload(1000));
        lab.Run();
        byte[][] sent = [.. lab.InnerFramesSent];
        Assert.Equal([.. Macs, .. frame.Finished()[12..]], sent[0]);
        Assert.Equal(4, sent.Length);
        Assert.All(sent, inner => Assert.Equal([.. Macs, .. frame.Finished()[12..frame.NetworkOffset]], inner[..frame.NetworkOffset]));
    }

    [Theory]
    [InlineData("geneve")]
    [InlineData("geneve, options")]
    public void Process_SmallPacketsOfOneFlow_LeaveAsOneContiguousSlice(string format)
    {
        var lab = new EgressLab(format: Formats.Of(format));
        for (int i = 0; i < 64; i++) lab.Deliver(Frame(isIpv6: false).Finished());
        lab.Device.Read(lab.Input);
        lab.Path.Process(lab.Input, 0, lab.Segment, lab.Output, lab.Answers, lab.Counters);
        Assert.Equal((1, 1), (lab.Output.Count, lab.Output.Trains[0].SliceCount));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Process_TrafficClassAndTtlCopied_LeaveWithTheInnerOnes(bool isIpv6)
    {
        var lab = new EgressLab(trafficClass: 0xb8, change: options => options with { CopiesDscp = true, CopiesTimeToLive = true });
        lab.Deliver((Frame(isIpv6) with { TrafficClass = 0x4a }).Finished());
        lab.Run();
        SentTrain sent = Assert.Single(lab.Underlay.Sent);
        byte ttl = lab.InnerFramesSent.Single()[isIpv6 ? 21 : 22];
        Assert.NotEqual(0, ttl);
        Assert.Equal((0x4a, ttl), (sent.Train.TrafficClass, sent.Train.TimeToLive));
    }

    [Fact]
    public void Process_DifferentTtlsCopied_LeaveInDifferentTrains()
    {
        var lab = new EgressLab(change: options => options with { CopiesTimeToLive = true });
        byte[] near = Frame(isIpv6: true).Finished();
        near[21] = 3;
        lab.Deliver(Frame(isIpv6: true).Finished());
        lab.Deliver(near);
        lab.Run();
        Assert.Equal(2, lab.Underlay.Sent.Count);
        Assert.Equal(3, lab.Underlay.Sent[1].Train.TimeToLive);
    }

    private static InnerFrame Frame(bool isIpv6) => new()
    {
        IsIpv6 = isIpv6,
        Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
        Destination = isIpv6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
        Payload = [1, 2, 3, 4, 5],
    };
}
