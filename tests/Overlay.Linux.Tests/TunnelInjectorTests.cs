using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Linux.Tests.Support;
using Overlay.Linux.Underlay;
using Overlay.Wire;

namespace Overlay.Linux.Tests;

public sealed class TunnelInjectorTests : IDisposable
{
    private const string GlobalFilter = "net/ipv4/conf/all/rp_filter";
    private const string GlobalForwardingV6 = "net/ipv6/conf/all/forwarding";
    private const int OuterV4 = 42;
    private const int OuterV6 = 62;
    private const int InnerHeaders = 14 + 20 + 20;
    private const int VxlanBytes = 8;

    private readonly UnderlayPair _pair = new();

    public void Dispose() => _pair.Dispose();

    [Fact]
    public void TryOpen_ThisKernel_WorksOrSaysWhatIsMissing()
    {
        (TunnelInjector? injector, string? refusal) = Open();
        if (TunnelGsoFactAttribute.Lacking is null)
        {
            Assert.Null(refusal);
            var shown = _pair.FirstSpace.IpJson("link show dev inject0")[0];
            Assert.Equal(65_500, shown.GetProperty("mtu").GetInt32());
            Assert.Equal(TunnelInjection.DeviceMac.ToString(), shown.GetProperty("address").GetString());
            Assert.Contains("UP", shown.GetProperty("flags").EnumerateArray().Select(flag => flag.GetString()));
        }
        else
        {
            Assert.Null(injector);
            Assert.Contains("Linux 6.17", refusal, StringComparison.Ordinal);
        }
        injector?.Dispose();
        using var netlink = _pair.FirstSpace.Run(() => new Netlink.Rtnetlink());
        Assert.Null(netlink.FindLink("inject0"));
    }

    [TunnelGsoTheory]
    [InlineData("0")]
    [InlineData("1")]
    [InlineData("2")]
    public void TryOpen_AnyReversePathFilter_WorksAndChangesNothingButItsOwnDevice(string filter)
    {
        _pair.FirstSpace.Run(() => Assert.Null(Sysctl.TrySet(GlobalFilter, filter)));
        (TunnelInjector? injector, string? refusal) = Open();
        Assert.Null(refusal);
        Assert.Equal(filter, _pair.FirstSpace.Run(() => Sysctl.Read(GlobalFilter)));
        Assert.Equal("0", _pair.FirstSpace.Run(() => Sysctl.Read("net/ipv4/ip_forward")));
        Assert.Equal("0", _pair.FirstSpace.Run(() => Sysctl.Read(GlobalForwardingV6)));
        Assert.Equal(TunnelOffload.Ipv4 | TunnelOffload.Ipv6, injector!.Families);
        injector.Dispose();
    }

    [TunnelGsoFact]
    public void Verify_PacketFilterOfOneFamily_LeavesTheOther()
    {
        (TunnelInjector? injector, _) = Open();
        _pair.FirstSpace.Execute("nft", "add table ip6 filter; add chain ip6 filter forward { type filter hook forward priority 0; policy drop; }");
        Assert.Contains("an injected IPv6 packet was not forwarded", injector!.Verify(), StringComparison.Ordinal);
        Assert.Equal(TunnelOffload.Ipv4, injector.Families);
        _pair.FirstSpace.Execute("nft", "flush", "ruleset");
        Assert.Null(injector.Verify());
        Assert.Equal(TunnelOffload.Ipv4 | TunnelOffload.Ipv6, injector.Families);
        injector.Dispose();
    }

    [TunnelGsoFact]
    public async Task Verify_CancelledWhileAFilterBlocks_EndsItsWait()
    {
        (TunnelInjector? injector, _) = Open();
        _pair.FirstSpace.Execute("nft", "add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy drop; }");
        long started = Stopwatch.GetTimestamp();
        using var stop = new CancellationTokenSource();
        Task<string?> verify = Task.Run(() => injector!.Verify(stop.Token));
        await stop.CancelAsync();
        Assert.NotNull(await verify);
        Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(1.5), "waited for its deadline");
        injector!.Dispose();
    }

    [TunnelGsoFact]
    public void Verify_PacketFilterComesAndGoes_SaysSo()
    {
        (TunnelInjector? injector, _) = Open();
        _pair.FirstSpace.Execute("nft", "add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy drop; }");
        Assert.Contains("forward chain", injector!.Verify(), StringComparison.Ordinal);
        (TunnelInjector? second, string? refusal) = Open("inject1");
        Assert.Null(second);
        Assert.Contains("accept what comes in by inject1", refusal, StringComparison.Ordinal);
        _pair.FirstSpace.Execute("nft", "flush", "ruleset");
        Assert.Null(injector.Verify());
        injector.Dispose();
    }

    [TunnelGsoFact]
    public void Verify_SeveralInjectorsOfOneHost_EachWorks()
    {
        (TunnelInjector? first, _) = Open();
        (TunnelInjector? second, _) = Open("inject1");
        Assert.Null(first!.Verify());
        Assert.Null(second!.Verify());
        second.Dispose();
        Assert.Null(first.Verify());
        first.Dispose();
    }

    [TunnelGsoTheory]
    [InlineData(true, false)]
    [InlineData(false, false)]
    [InlineData(true, true)]
    [InlineData(false, true)]
    public void Send_SuperPacket_ArrivesAsOneOrAsValidSegments(bool segmentOnTheWay, bool overIpv6)
    {
        if (segmentOnTheWay) _pair.FirstSpace.Execute("ethtool", "-K", "veth0", "tx", "off", "tso", "off", "gso", "off");
        (TunnelInjector? injector, _) = Open();
        using UdpUnderlay underlay = UnderlayPair.Open(_pair.FirstSpace, 1, options => options with { Ports = [new TunnelPort(4790, Encapsulation.Vxlan)], Injector = injector });

        byte[] payload = UnderlayPair.RandomBytes(40_500);
        PacketMemory memory = SuperPacket(payload, underlay.SourcePorts[3], overIpv6, out int length);
        Peer peer = UnderlayPair.PeerAt(IPAddress.Parse(overIpv6 ? "2001:db8::2" : "192.0.2.2"));
        ref DatagramTrain train = ref _pair.Batch.Add(peer, TrainKind.TunnelSuperPacket);
        _pair.Batch.AddSlice(memory.Slice(0, length));
        underlay.Send(_pair.Batch);
        Assert.Equal(SendOutcome.Sent, train.Outcome);

        const int PerDatagram = VxlanBytes + InnerHeaders;
        int datagrams = segmentOnTheWay ? 41 : 1;
        List<Arrived> arrived = _pair.Receive(payload.Length + (datagrams * PerDatagram));
        Assert.All(arrived, train => Assert.Equal(underlay.SourcePorts[3], train.Source.Port));
        byte[][] received = [.. arrived.SelectMany(train => train.Bytes.Chunk(train.SegmentSize))];
        Assert.Equal(datagrams, received.Length);
        Assert.Equal(payload, received.SelectMany(datagram => datagram.Skip(PerDatagram)));
        if (segmentOnTheWay) Assert.All(received, AssertTcpChecksum);
        _pair.FirstSpace.Run(injector!.Dispose);
    }

    [Fact]
    public void Send_NoInjector_IsRefused()
    {
        _pair.Batch.Add(UnderlayPair.PeerAt(IPAddress.Parse("192.0.2.2")), TrainKind.TunnelSuperPacket);
        _pair.Send();
        Assert.Equal(SendOutcome.Refused, _pair.Batch.Trains[0].Outcome);
    }

    private static void AssertTcpChecksum(byte[] datagram)
    {
        ReadOnlySpan<byte> ip = datagram.AsSpan(VxlanBytes + 14);
        ReadOnlySpan<byte> tcp = ip[20..];
        Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(ip[..20])));
        Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(tcp, InternetChecksum.PseudoHeaderV4(ip.Slice(12, 8), 6, tcp.Length))));
    }

    private (TunnelInjector? Injector, string? Refusal) Open(string name = "inject0") => _pair.FirstSpace.Run(() =>
    {
        TunnelInjector.TryOpen(name, [IPAddress.Parse("192.0.2.1"), IPAddress.Parse("2001:db8::1")], out TunnelInjector? injector, out string? refusal);
        return (injector, refusal);
    });

    /// <summary>A VXLAN packet with a TCP super-packet of 1,000-byte segments inside, behind the tunnel virtio-net header.</summary>
    private static PacketMemory SuperPacket(ReadOnlySpan<byte> payload, ushort sourcePort, bool overIpv6, out int length)
    {
        int inner = InnerHeaders + payload.Length;
        int tunnel = overIpv6 ? OuterV6 : OuterV4;
        int udp = tunnel - 8;
        int overhead = tunnel + VxlanBytes;
        length = VirtioTunnelHeader.Size + overhead + inner;
        var memory = new PacketMemory(length);
        Span<byte> header = memory.Span(0, VirtioTunnelHeader.Size);
        header[0] = 1 | 8;
        header[1] = (byte)(1 | (overIpv6 ? 0x40 : 0x20));
        BitConverter.TryWriteBytes(header[2..], (ushort)(overhead + InnerHeaders));
        BitConverter.TryWriteBytes(header[4..], (ushort)1000);
        BitConverter.TryWriteBytes(header[6..], (ushort)(overhead + 34));
        BitConverter.TryWriteBytes(header[8..], (ushort)16);
        BitConverter.TryWriteBytes(header[20..], (ushort)udp);
        BitConverter.TryWriteBytes(header[22..], (ushort)(overhead + 14));

        Span<byte> outer = memory.Span(VirtioTunnelHeader.Size, overhead);
        TunnelInjection.DeviceMac.CopyTo(outer);
        int udpLength = 8 + VxlanBytes + inner;
        ulong pseudoHeader;
        if (overIpv6)
        {
            outer[12] = 0x86;
            outer[13] = 0xdd;
            Span<byte> ip = outer.Slice(14, 40);
            ip[0] = 0x60;
            BinaryPrimitives.WriteUInt16BigEndian(ip[4..], (ushort)udpLength);
            ip[6] = 17;
            ip[7] = 64;
            IPAddress.Parse("2001:db8::1").TryWriteBytes(ip[8..], out _);
            IPAddress.Parse("2001:db8::2").TryWriteBytes(ip[24..], out _);
            pseudoHeader = InternetChecksum.PseudoHeaderV6(ip.Slice(8, 32), 17, udpLength);
        }
        else
        {
            outer[12] = 8;
            WriteIpv4(outer.Slice(14, 20), 20 + udpLength, 17, "192.0.2.1", "192.0.2.2");
            pseudoHeader = InternetChecksum.PseudoHeaderV4(outer.Slice(26, 8), 17, udpLength);
        }
        BinaryPrimitives.WriteUInt16BigEndian(outer[udp..], sourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(outer[(udp + 2)..], 4789);
        BinaryPrimitives.WriteUInt16BigEndian(outer[(udp + 4)..], (ushort)udpLength);
        BitConverter.TryWriteBytes(outer[(udp + 6)..], InternetChecksum.Fold(pseudoHeader));
        outer[tunnel] = 8;
        outer[tunnel + 6] = 42;

        Span<byte> frame = memory.Span(VirtioTunnelHeader.Size + overhead, inner);
        frame[0] = frame[6] = 2;
        frame[12] = 8;
        WriteIpv4(frame.Slice(14, 20), inner - 14, 6, "10.244.1.1", "10.244.2.1");
        Span<byte> tcp = frame[34..];
        BinaryPrimitives.WriteUInt16BigEndian(tcp, 40_000);
        BinaryPrimitives.WriteUInt16BigEndian(tcp[2..], 5001);
        tcp[12] = 5 << 4;
        tcp[13] = (byte)TcpFlags.Ack;
        BitConverter.TryWriteBytes(tcp[16..], InternetChecksum.Fold(InternetChecksum.PseudoHeaderV4(frame.Slice(26, 8), 6, tcp.Length)));
        payload.CopyTo(tcp[20..]);
        return memory;
    }

    private static void WriteIpv4(Span<byte> ip, int totalLength, byte protocol, string source, string destination)
    {
        ip[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(ip[2..], (ushort)totalLength);
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = protocol;
        IPAddress.Parse(source).TryWriteBytes(ip[12..], out _);
        IPAddress.Parse(destination).TryWriteBytes(ip[16..], out _);
        BitConverter.TryWriteBytes(ip[10..], InternetChecksum.Finish(InternetChecksum.Add(ip)));
    }
}
