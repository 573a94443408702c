namespace Overlay.Wire.Tests;

public sealed class LinkTests
{
    private const string Macs = "020000000002020000000001";

    [Theory]
    [InlineData(Macs + "0800", 0x0800, 0, 14)]
    [InlineData(Macs + "0800ffff", 0x0800, 0, 14)]
    [InlineData(Macs + "8100a00708dd", 0x08dd, 1, 18)]
    [InlineData(Macs + "88a80001810000020806", 0x0806, 2, 22)]
    [InlineData(Macs + "810000018100000286dd", 0x86dd, 2, 22)]
    [InlineData(Macs + "88a800018100000281000003", 0x8100, 2, 22)] // a third tag belongs to the payload
    public void EthernetTryParse_Tags_AreSkipped(string hex, int etherType, int tags, int headerLength)
    {
        byte[] bytes = Convert.FromHexString(hex);

        Assert.Equal(WireStatus.Ok, EthernetFrame.TryParse(bytes, out EthernetFrame view));
        Assert.Equal((etherType, tags, headerLength), (view.EtherType, view.VlanTagCount, view.HeaderLength));
        Assert.Equal(bytes.Length - headerLength, view.Payload.Length);
        Assert.Equal(("02:00:00:00:00:02", "02:00:00:00:00:01"), (view.Destination.ToString(), view.Source.ToString()));
    }

    [Theory]
    [InlineData("")]
    [InlineData(Macs)]
    [InlineData(Macs + "08")]
    [InlineData(Macs + "8100")]
    [InlineData(Macs + "8100000108")]
    [InlineData(Macs + "88a800018100000208")]
    public void EthernetTryParse_IncompleteHeader_IsTruncated(string hex) =>
        Assert.Equal(WireStatus.Truncated, EthernetFrame.TryParse(Convert.FromHexString(hex), out _));

    [Fact]
    public void VlanTag_Control_IsTakenApart()
    {
        byte[] bytes = Convert.FromHexString(Macs + "88a8b064" + "81000fff" + "0800");

        Assert.Equal(WireStatus.Ok, EthernetFrame.TryParse(bytes, out EthernetFrame view));
        Assert.Equal(
            (EtherTypes.ProviderVlan, 5, true, 100),
            (view.OuterTag.Protocol, view.OuterTag.Priority, view.OuterTag.IsDropEligible, view.OuterTag.Identifier));
        Assert.Equal(
            (EtherTypes.Vlan, 0, false, 4095),
            (view.InnerTag.Protocol, view.InnerTag.Priority, view.InnerTag.IsDropEligible, view.InnerTag.Identifier));
    }

    [Theory]
    [InlineData("0001080006040001", 28, WireStatus.Ok)]
    [InlineData("0001080006040009", 46, WireStatus.Ok)]
    [InlineData("0001080006040001", 27, WireStatus.Truncated)]
    [InlineData("0006080006040001", 28, WireStatus.BadField)] // IEEE 802
    [InlineData("000186dd06040001", 28, WireStatus.BadField)]
    [InlineData("0001080008040001", 28, WireStatus.BadField)]
    [InlineData("0001080006100001", 28, WireStatus.BadField)]
    public void ArpTryParse_Kinds_GiveStatus(string header, int bytes, WireStatus expected)
    {
        byte[] packet = new byte[64];
        Convert.FromHexString(header).CopyTo(packet, 0);

        Assert.Equal(expected, ArpPacket.TryParse(packet.AsSpan(0, bytes), out _));
    }

    [Fact]
    public void ArpWrite_Reply_IsTheExpectedBytes()
    {
        byte[] packet = new byte[ArpPacket.Length];
        Assert.True(MacAddress.TryParse("02:00:00:00:00:01", out MacAddress sender));
        Assert.True(MacAddress.TryParse("02:00:00:00:00:02", out MacAddress target));

        ArpPacket.Write(packet, ArpOperation.Reply, sender, 0x0a000001, target, 0x0a000002);

        Assert.Equal("00010800060400020200000000010A0000010200000000020A000002", Convert.ToHexString(packet));
    }

    [Theory]
    [InlineData("87", "", WireStatus.Ok, false)]
    [InlineData("88", "", WireStatus.Ok, false)]
    [InlineData("87", "0101020000000001", WireStatus.Ok, true)]
    [InlineData("88", "0201020000000001", WireStatus.Ok, true)]
    [InlineData("87", "0201020000000001", WireStatus.Ok, false)] // a target's address in a solicitation is to be ignored
    [InlineData("87", "0e010102030405060101020000000001", WireStatus.Ok, true)] // behind a nonce
    [InlineData("87", "01020200000000010000000000000000", WireStatus.Ok, false)] // no MAC address, by its length
    [InlineData("87", "0100020000000001", WireStatus.BadField, false)]
    [InlineData("87", "0102020000000001", WireStatus.Truncated, false)]
    [InlineData("87", "01", WireStatus.Truncated, false)]
    [InlineData("80", "", WireStatus.BadField, false)]
    public void NeighborTryParse_Options_GiveStatus(string type, string options, WireStatus expected, bool hasAddress)
    {
        byte[] message = Convert.FromHexString(type + "00000000000000" + "fd000000000000000000000000000001" + options);

        Assert.Equal(expected, NeighborMessage.TryParse(message, out NeighborMessage view));
        Assert.Equal(hasAddress, expected == WireStatus.Ok && view.HasLinkLayerAddress);
        if (hasAddress) Assert.Equal("02:00:00:00:00:01", view.LinkLayerAddress.ToString());
    }

    [Fact]
    public void NeighborTryParse_CodeOrMulticastTarget_IsBadField()
    {
        byte[] message = Convert.FromHexString("8701000000000000" + "fd000000000000000000000000000001");
        Assert.Equal(WireStatus.BadField, NeighborMessage.TryParse(message, out _));

        message = Convert.FromHexString("8700000000000000" + "ff020000000000000000000000000001");
        Assert.Equal(WireStatus.BadField, NeighborMessage.TryParse(message, out _));
        Assert.Equal(WireStatus.Truncated, NeighborMessage.TryParse(message.AsSpan(0, 23), out _));
    }
}
