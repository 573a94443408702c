using System.Net;
using Overlay.Dataplane.Mtu;
using Overlay.Wire;

namespace Overlay.Dataplane.Tests.Mtu;

public sealed class TooBigQuoteTests
{
    private static readonly UInt128 Own4 = Bits("192.0.2.1"), Peer4 = Bits("192.0.2.2"), Own6 = Bits("2001:db8::1"), Peer6 = Bits("2001:db8::2");

    [Fact]
    public void TryParse_FragmentationNeeded_HasWhatItQuotes()
    {
        Assert.True(TooBigQuote.TryParse(V4(), isIpv6: false, out TooBigQuote quote));
        Assert.Equal(new TooBigQuote(Own4, Peer4, IpProtocols.Udp, 61_000, 4789, 1400, 1500), quote);
    }

    [Fact]
    public void TryParse_PacketTooBig_HasWhatItQuotes()
    {
        Assert.True(TooBigQuote.TryParse(V6(), isIpv6: true, out TooBigQuote quote));
        Assert.Equal(new TooBigQuote(Own6, Peer6, IpProtocols.Udp, 61_000, 4789, 1400, 1500), quote);
    }

    [Fact]
    public void TryParse_NoMtuInV4_IsZero()
    {
        Assert.True(TooBigQuote.TryParse(V4(mtu: 0), isIpv6: false, out TooBigQuote quote));
        Assert.Equal(0, quote.Mtu);
    }

    [Theory]
    [InlineData(1500)]
    [InlineData(1501)]
    [InlineData(67)]
    [InlineData(1)]
    public void TryParse_MtuThatCannotBe_IsRefused(int mtu) => Assert.False(TooBigQuote.TryParse(V4(mtu), isIpv6: false, out _));

    [Theory]
    [InlineData(1279u)]
    [InlineData(0u)]
    [InlineData(1500u)]
    [InlineData(uint.MaxValue)]
    public void TryParse_V6MtuThatCannotBe_IsRefused(uint mtu) => Assert.False(TooBigQuote.TryParse(V6(mtu), isIpv6: true, out _));

    [Fact]
    public void TryParse_WithoutDfOrOfALaterFragmentOrDamaged_IsRefused()
    {
        Assert.False(TooBigQuote.TryParse(V4(dontFragment: false), isIpv6: false, out _));
        Assert.False(TooBigQuote.TryParse(V4(offset: 8), isIpv6: false, out _));
        byte[] damaged = V4();
        damaged[^1] ^= 1;
        Assert.False(TooBigQuote.TryParse(damaged, isIpv6: false, out _));
        Assert.False(TooBigQuote.TryParse(V4(code: 3), isIpv6: false, out _));
    }

    [Fact]
    public void TryParse_AnyPrefix_NeverThrows()
    {
        foreach (bool isIpv6 in (bool[])[false, true])
        {
            byte[] whole = isIpv6 ? V6() : V4();
            for (int length = 0; length < whole.Length; length++) TooBigQuote.TryParse(whole.AsSpan(0, length), isIpv6, out _);
        }
    }

    private static byte[] V4(int mtu = 1400, bool dontFragment = true, int offset = 0, byte code = Icmpv4Types.FragmentationNeeded)
    {
        byte[] message = new byte[Icmpv4Header.Length + Ipv4Packet.MinHeaderLength + UdpHeader.HeaderLength];
        Span<byte> quoted = message.AsSpan(Icmpv4Header.Length);
        Ipv4Packet.WriteHeader(quoted, new Ipv4Fields
        {
            TotalLength = 1500,
            DontFragment = dontFragment,
            FragmentOffset = offset,
            TimeToLive = 63,
            Protocol = IpProtocols.Udp,
            Source = (uint)Own4,
            Destination = (uint)Peer4,
        });
        WritePorts(quoted[Ipv4Packet.MinHeaderLength..]);
        Icmpv4Header.Write(message, Icmpv4Types.DestinationUnreachable, code, (uint)mtu);
        return message;
    }

    private static byte[] V6(uint mtu = 1400)
    {
        byte[] message = new byte[Icmpv6Header.Length + Ipv6Packet.HeaderLength + UdpHeader.HeaderLength];
        Span<byte> quoted = message.AsSpan(Icmpv6Header.Length);
        Ipv6Packet.WriteHeader(quoted, new Ipv6Fields { PayloadLength = 1460, NextHeader = IpProtocols.Udp, HopLimit = 63, Source = Own6, Destination = Peer6 });
        WritePorts(quoted[Ipv6Packet.HeaderLength..]);
        Icmpv6Header.Write(message, Bits("2001:db8::99"), Own6, Icmpv6Types.PacketTooBig, 0, mtu);
        return message;
    }

    private static void WritePorts(Span<byte> transport) => ((ReadOnlySpan<byte>)[61_000 >> 8, 61_000 & 0xff, 4789 >> 8, 4789 & 0xff]).CopyTo(transport);

    private static UInt128 Bits(string address) => IpBits.V6OrMapped(IPAddress.Parse(address));
}
