using System.Net;
using Overlay.Wire;

namespace Overlay.Testing.Captures;

/// <summary>Sound frames with a tunnel of every kind behind tags, options and extension headers, their contents random.</summary>
public static class RandomTunnels
{
    private static readonly int[] VxlanPorts = [4789, 8472];

    public static byte[] Frame(Random random)
    {
        VlanTag[] tags = [.. Enumerable.Range(0, Math.Max(0, random.Next(-3, 4)))
            .Select(_ => new VlanTag(random.Next(2) == 0 ? EtherTypes.Vlan : EtherTypes.ProviderVlan, (ushort)random.Next(0x10000)))];
        (byte protocol, byte[] payload) = random.Next(5) switch
        {
            0 => (IpProtocols.Ipv4InIp, Ipv4(random)),
            1 => (IpProtocols.Ipv6InIp, Ipv6(random)),
            2 => (IpProtocols.Udp, Vxlan(random)),
            3 => (IpProtocols.Udp, VxlanGpe(random)),
            _ => (IpProtocols.Udp, Geneve(random)),
        };
        return random.Next(2) == 0
            ? TestFrames.Outer(OuterIpv4(random, payload, protocol), EtherTypes.Ipv4, tags)
            : TestFrames.Outer(OuterIpv6(random, payload, protocol), EtherTypes.Ipv6, tags);
    }

    private static byte[] OuterIpv4(Random random, byte[] payload, byte protocol)
    {
        byte[] options = new byte[Math.Max(0, random.Next(-10, 11)) * 4];
        options.AsSpan().Fill(1);
        return TestFrames.Ipv4(payload, protocol, AddressV4(random), AddressV4(random), options: options);
    }

    private static byte[] OuterIpv6(Random random, byte[] payload, byte protocol)
    {
        byte next = protocol;
        if (random.Next(3) == 0) (next, payload) = (IpProtocols.DestinationOptions, Options(random, next, payload));
        if (random.Next(3) == 0) (next, payload) = (IpProtocols.Fragment, TestFrames.Fragment(next, 0, hasMore: false, payload));
        if (random.Next(3) == 0) (next, payload) = (IpProtocols.HopByHop, Options(random, next, payload));
        return TestFrames.Ipv6(payload, next, AddressV6(random), AddressV6(random));
    }

    /// <summary>An options header of padding, or of a tunnel encapsulation limit and padding.</summary>
    private static byte[] Options(Random random, byte next, byte[] payload)
    {
        byte[] options = random.Next(2) == 0 ? [1, 12] : [4, 1, (byte)random.Next(8), 1, 9];
        byte[] header = TestFrames.Extension(next, 1, 16, payload);
        options.CopyTo(header, 2);
        return header;
    }

    private static byte[] Vxlan(Random random)
    {
        byte flags = (byte)(0x08 | (random.Next(2) == 0 ? 0x80 : 0));
        ushort groupPolicy = (ushort)(flags >= 0x80 ? random.Next(0x10000) : 0);
        return TestFrames.Udp(
            TestFrames.Vxlan(Ethernet(random), Vni(random), flags, groupPolicy), VxlanPorts[random.Next(2)], sourcePort: SourcePort(random));
    }

    private static byte[] VxlanGpe(Random random)
    {
        byte next = (byte)random.Next(1, 4);
        byte[] payload = next == 1 ? Ipv4(random) : next == 2 ? Ipv6(random) : Ethernet(random);
        return TestFrames.Udp(
            TestFrames.Vxlan(payload, Vni(random), flags: 0x0c, nextProtocol: next), 4790, sourcePort: SourcePort(random));
    }

    private static byte[] Geneve(Random random)
    {
        (ushort protocolType, byte[] payload) = random.Next(3) switch
        {
            0 => (EtherTypes.TransparentEthernet, Ethernet(random)),
            1 => (EtherTypes.Ipv4, Ipv4(random)),
            _ => (EtherTypes.Ipv6, Ipv6(random)),
        };
        byte[] options = [.. Enumerable.Range(0, random.Next(5)).SelectMany(_ => Option(random))];
        return TestFrames.Udp(
            TestFrames.Geneve(payload, Vni(random), protocolType, options, random.Next(4) == 0), 6081, sourcePort: SourcePort(random));
    }

    private static byte[] Option(Random random)
    {
        byte[] data = new byte[random.Next(1, 8) * 4];
        random.NextBytes(data);
        return TestFrames.GeneveOption(random.Next(0xff00, 0x10000), random.Next(256), data);
    }

    private static byte[] Ethernet(Random random) =>
        random.Next(2) == 0 ? TestFrames.Inner(Ipv4(random)) : TestFrames.Inner(Ipv6(random), EtherTypes.Ipv6);

    private static byte[] Ipv4(Random random) => TestFrames.Ipv4(new byte[random.Next(60)], 253, AddressV4(random), AddressV4(random));

    private static byte[] Ipv6(Random random) => TestFrames.Ipv6(new byte[random.Next(60)], 253, AddressV6(random), AddressV6(random));

    private static uint Vni(Random random) => (uint)random.Next(0x1000000);

    private static ushort SourcePort(Random random) => (ushort)random.Next(49_152, 65_536);

    private static string AddressV4(Random random) => new IPAddress((long)(uint)random.Next(int.MinValue, int.MaxValue)).ToString();

    /// <summary>With runs of zeros here and there, which shorten the text form.</summary>
    private static string AddressV6(Random random)
    {
        byte[] octets = new byte[16];
        random.NextBytes(octets);
        for (int group = 1; group < 8; group++)
        {
            if (random.Next(2) == 0) octets.AsSpan(group * 2, 2).Clear();
        }
        octets[0] = 0x20;
        return new IPAddress(octets).ToString();
    }
}
