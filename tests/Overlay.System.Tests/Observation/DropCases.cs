using System.Buffers.Binary;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Observation;

/// <summary>How each reason to drop a packet is brought about on a live daemon, by frames on its devices and its underlay and by what is done to its host.</summary>
internal static class DropCases
{
    private const int Vxlan = 4789;
    private const int Geneve = 6081;
    private const int Pods = 42, Bare = 43, Lan = 44, Lone = 45;
    private const byte DestinationOptions = 60;
    private const string Stranger = "192.0.2.77", Strict = "192.0.2.5", Far = "192.0.2.3";
    private const string Host = "02:00:00:00:0e:01", Fixed = "02:00:00:00:0f:01", Unknown = "02:00:00:00:0e:63", LanMac = "02:00:00:00:00:44";
    private const string From = "10.244.1.2", To = "10.244.2.9";

    /// <summary>Frames on devices: which, and what the daemon must count it as.</summary>
    private static readonly (string Reason, string Device, byte[] Frame)[] OnDevices =
    [
        ("egress-malformed", "overlay0", Ip(PlainBytes.Ipv4(From, To, 253, new byte[20], length: 400))),
        ("egress-not-ip", "overlay0", Frame(Unknown, Host, 0x88cc, new byte[46])),
        ("egress-multicast", "overlay0", Ip(PlainBytes.Ipv4(From, "224.0.0.9", 253, new byte[20]))),
        ("egress-address-probe", "overlay0", Arp("0.0.0.0", To)),
        ("egress-no-route", "overlay0", Ip(PlainBytes.Ipv4(From, "10.99.0.1", 253, new byte[20]))),
        ("egress-route-local", "overlay0", Ip(PlainBytes.Ipv4(From, "10.244.91.1", 253, new byte[20]))),
        ("egress-route-blackhole", "overlay0", Ip(PlainBytes.Ipv4(From, "10.244.92.1", 253, new byte[20]))),
        ("egress-route-unreachable", "overlay0", Ip(PlainBytes.Ipv4(From, "10.244.93.1", 253, new byte[20]))),
        ("egress-route-prohibited", "overlay0", Ip(PlainBytes.Ipv4(From, "10.244.94.1", 253, new byte[20]))),
        ("egress-expired", "tun0", Ip(PlainBytes.Ipv4(From, "10.245.2.9", 253, new byte[20], timeToLive: 0))),
        ("egress-loop", "tun0", Ip(PlainBytes.Ipv4("192.0.2.1", "10.245.2.9", 253, new byte[20]))),
        ("egress-encapsulation-limit", "tun0", Frame(Unknown, Host, 0x86dd, PlainBytes.Ipv6(
            "fd00:245:1::2", "fd00:245:2::2", DestinationOptions, [17, 0, 4, 1, 0, 1, 1, 0, .. new byte[16]]))),
        ("egress-local-mac", "lan0", Frame(Host, Host, 0x0800, PlainBytes.Ipv4("10.9.0.1", "10.9.0.2", 253, new byte[20]))),
        ("egress-unknown-mac", "lan0", Frame(Unknown, Host, 0x0800, PlainBytes.Ipv4("10.9.0.1", "10.9.0.2", 253, new byte[20]))),
        ("egress-unknown-neighbor", "lan0", Arp("10.9.0.1", "10.9.0.2")),
        ("egress-source-mac", "lan0", Frame(Unknown, "01:00:5e:00:00:01", 0x0800, PlainBytes.Ipv4("10.9.0.1", "10.9.0.2", 253, new byte[20]))),
        ("egress-reserved-mac", "lan0", Frame("01:80:c2:00:00:00", Host, 0x88b5, new byte[46])),
        ("egress-spoofed-mac", "lan0", Frame(Unknown, Fixed, 0x0800, PlainBytes.Ipv4("10.9.0.1", "10.9.0.2", 253, new byte[20]))),
        ("egress-no-flood-peer", "lone0", Frame("ff:ff:ff:ff:ff:ff", Host, 0x88b5, new byte[46])),
    ];

    /// <summary>Tunnel packets of the peer's.</summary>
    private static readonly (string Reason, int Port, byte[] Bytes)[] OnUnderlay =
    [
        ("ingress-malformed", Vxlan, [0, 0, 0, 0, 0, 0, Pods, 0, .. Inner()]),
        ("ingress-tunnel-version", Geneve, [0x40, 0, 0x65, 0x58, 0, 0, Bare, 0, .. Inner()]),
        ("ingress-tunnel-options", Geneve, [2, 0, 0x65, 0x58, 0, 0, Bare, 0, 1, 2, 3, 31, 0, 0, 0, 0, .. Inner()]),
        ("ingress-critical-option", Geneve, [1, 0x40, 0x65, 0x58, 0, 0, Bare, 0, 1, 2, 0x85, 0, .. Inner()]),
        ("ingress-control", Geneve, [0, 0x80, 0x65, 0x58, 0, 0, Bare, 0, .. Inner()]),
        ("ingress-payload-type", Geneve, [0, 0, 0x88, 0x47, 0, 0, Bare, 0, .. Inner()]),
        ("ingress-unknown-segment", Vxlan, Tunnel(99, Inner())),
        ("ingress-inner-malformed", Vxlan, Tunnel(Pods, Inner()[..33])),
        ("ingress-inner-vlan", Vxlan, Tunnel(Pods, [.. Inner()[..12], 0x81, 0, 0, 7, .. Inner()[12..]])),
        ("ingress-inner-mac", Vxlan, Tunnel(Pods, Inner(Unknown))),
        ("ingress-source-mac", Vxlan, Tunnel(Lan, Frame(LanMac, "01:00:5e:00:00:01", 0x88b5, new byte[46]))),
        ("ingress-reserved-mac", Vxlan, Tunnel(Lan, Frame("01:80:c2:00:00:00", Unknown, 0x88b5, new byte[46]))),
        ("ingress-spoofed-mac", Vxlan, Tunnel(Lan, Frame("ff:ff:ff:ff:ff:ff", LanMac, 0x88b5, new byte[46]))),
    ];

    /// <summary>Reasons that nothing but one frame of these brings about: hosts send multicast by themselves.</summary>
    public static IEnumerable<string> SentOnce =>
        [.. OnDevices.Select(each => each.Reason).Except(["egress-multicast", "egress-no-flood-peer"]), .. OnUnderlay.Select(each => each.Reason)];

    /// <summary>A daemon's whole configuration: routed and bridged segments, every encapsulation, both outer families.</summary>
    public static string Configuration(string listen) => $$"""
        node: node-a
        api: { socket: SOCKET }
        metrics: { listen: "{{listen}}" }
        underlay:
          addresses: [192.0.2.1, "2001:db8:77::1"]
          pathMtu: { probe: false }
        tunnel: { egress: udp-gso }
        segments:
          - { name: pods, vni: {{Pods}}, device: overlay0, mac: "02:00:00:00:00:01", addresses: [10.244.1.0/32] }
          - { name: bare, vni: {{Bare}}, device: gen0, encapsulation: geneve }
          - { name: tun, device: tun0, encapsulation: ipip }
          - { name: lan, vni: {{Lan}}, device: lan0, kind: bridged, mac: "{{LanMac}}", flood: [node-b], unknownUnicast: drop, unknownNeighbours: drop, fdb: [{ mac: "{{Fixed}}", peer: node-b }, { mac: "{{Host}}", local: true }] }
          - { name: lone, vni: {{Lone}}, device: lone0, kind: bridged, flood: [] }
        peers:
          - { name: node-b, address: 192.0.2.2, mac: "02:00:00:00:00:02" }
          - { name: node-b6, address: "2001:db8:77::2", mac: "02:00:00:00:00:06" }
          - { name: node-c, address: {{Far}}, mac: "02:00:00:00:00:03" }
          - { name: node-s, address: {{Strict}}, mac: "02:00:00:00:00:05", reversePath: strict }
        routes:
          - { prefix: 10.244.2.0/24, peer: node-b, segment: pods }
          - { prefix: 10.244.3.0/24, peer: node-c, segment: pods }
          - { prefix: 10.244.91.0/24, action: local, segment: pods }
          - { prefix: 10.244.92.0/24, action: blackhole, segment: pods }
          - { prefix: 10.244.93.0/24, action: unreachable, segment: pods }
          - { prefix: 10.244.94.0/24, action: prohibit, segment: pods }
          - { prefix: 10.245.2.0/24, peer: node-b, segment: tun }
          - { prefix: "fd00:245:2::/64", peer: node-b6, segment: tun }

        """;

    /// <summary>Brings all about, the frames first.</summary>
    /// <param name="network">Its first node has the daemon.</param>
    /// <param name="countedAsync">Waits until a packet was dropped for a reason.</param>
    public static async Task BringAboutAsync(LabNetwork network, Func<string, Task> countedAsync)
    {
        using PacketSocket underlay = await PacketSocket.OpenAsync(network.B.Host, LabNode.UnderlayDevice);
        byte[] ethernet = await PacketSocket.AddressesAsync(network.A, network.B);
        foreach (IGrouping<string, byte[]> device in OnDevices.GroupBy(each => each.Device, each => each.Frame))
        {
            using PacketSocket socket = await PacketSocket.OpenAsync(network.A.Host, device.Key);
            foreach (byte[] frame in device) socket.Send(frame);
        }
        foreach ((_, int port, byte[] bytes) in OnUnderlay) Datagram(bytes, port, network.B.Underlay4);
        Datagram(Tunnel(Pods, Inner()), Vxlan, Stranger);
        Datagram(Tunnel(Pods, Inner()), Vxlan, Strict);
        Datagram(Tunnel(Pods, Inner()), Vxlan, network.B.Underlay4, trafficClass: 3);
        IpInIp(PlainBytes.Ipv4("127.0.0.1", NumberedPacket.Target4, 253, new byte[20]));
        IpInIp(NumberedPacket.Ipv4(1, timeToLive: 0));
        foreach (string reason in SentOnce.Concat(["egress-multicast", "egress-no-flood-peer", "ingress-unknown-peer", "ingress-reverse-path", "ingress-ecn-conflict", "ingress-inner-source", "ingress-expired"]))
            await countedAsync(reason);

        using PacketSocket offloads = await PacketSocket.OpenAsync(network.A.Host, "overlay0", offloads: true);
        byte[] plain = Ip(PlainBytes.Ipv4(From, To, 17, PlainBytes.Udp(From, To, 1000, 7, new byte[100])));
        // UDP's checksum is not where the header says.
        offloads.Send([.. Offload(start: 34, offset: 2), .. plain]);
        await countedAsync("egress-bad-offload");
        // A super-packet is cut to what its sender asks for, whatever the device's MTU; the datagrams have DF.
        offloads.Send(SuperPacket(segmentSize: 1800, segments: 4));
        await countedAsync("egress-too-big");

        await network.A.Host.IpAsync($"route add unreachable {Far}/32");
        await RepeatAsync("egress-unreachable", () => offloads.Send([.. Offload(), .. Ip(PlainBytes.Ipv4(From, "10.244.3.9", 253, new byte[20]))]));
        await network.A.Host.CheckAsync(
            "nft", $"add table inet refuse; add chain inet refuse out {{ type filter hook output priority 0; }}; add rule inet refuse out udp dport {Vxlan} drop");
        await RepeatAsync("egress-refused", () => offloads.Send([.. Offload(), .. plain]));
        await network.A.Host.CheckAsync("nft", "delete table inet refuse");
        await network.A.Host.CheckAsync("tc", "qdisc", "add", "dev", LabNode.UnderlayDevice, "root", "tbf", "rate", "8kbit", "burst", "2000", "limit", "1000mb");
        await RepeatAsync("egress-queue-full", () =>
        {
            for (int i = 0; i < 50; i++) offloads.Send(SuperPacket(segmentSize: 1400, segments: 40));
        });
        await network.A.Host.CheckAsync("tc", "qdisc", "delete", "dev", LabNode.UnderlayDevice, "root");
        await network.A.Host.IpAsync("link set overlay0 down");
        await RepeatAsync("ingress-device-refused", () => Datagram(Tunnel(Pods, Inner()), Vxlan, network.B.Underlay4));

        // What a change of the host's does shows a moment later.
        async Task RepeatAsync(string reason, Action send)
        {
            Task counted = countedAsync(reason);
            using var clock = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
            do send();
            while (!counted.IsCompleted && await clock.WaitForNextTickAsync());
            await counted;
        }

        void Datagram(byte[] bytes, int port, string from, int trafficClass = 0) => underlay.Send(
            [.. ethernet, 8, 0, .. PlainBytes.Ipv4(from, network.A.Underlay4, 17, PlainBytes.Udp(from, network.A.Underlay4, 50_000, port, bytes), trafficClass)]);

        void IpInIp(byte[] inner) => underlay.Send([.. ethernet, 8, 0, .. PlainBytes.Ipv4(network.B.Underlay4, network.A.Underlay4, 4, inner)]);
    }

    private static byte[] Frame(string to, string from, int type, byte[] payload) => [.. PlainBytes.Mac(to), .. PlainBytes.Mac(from), .. PlainBytes.Word(type), .. payload];

    private static byte[] Ip(byte[] packet) => Frame(Unknown, Host, 0x0800, packet);

    private static byte[] Arp(string sender, string target) => Frame("ff:ff:ff:ff:ff:ff", Host, 0x0806,
    [
        0, 1, 8, 0, 6, 4, 0, 1, .. PlainBytes.Mac(Host), .. System.Net.IPAddress.Parse(sender).GetAddressBytes(), .. new byte[6],
        .. System.Net.IPAddress.Parse(target).GetAddressBytes(),
    ]);

    /// <summary>A sound frame for the routed segments' devices.</summary>
    private static byte[] Inner(string to = "02:00:00:00:00:01") => Frame(to, "02:00:00:00:00:02", 0x0800, NumberedPacket.Ipv4(1));

    private static byte[] Tunnel(int vni, byte[] frame) => [8, 0, 0, 0, 0, 0, (byte)vni, 0, .. frame];

    /// <summary>Header of virtio 1.2, 5.1.6, for IPv4: with a checksum to finish, and a size to cut UDP to, or neither.</summary>
    private static byte[] Offload(int start = 0, int offset = 0, int segmentSize = 0)
    {
        const byte needsChecksum = 1, udp = 5;
        const int headers = 14 + 20 + 8;
        byte[] header = new byte[10];
        if (start > 0) header[0] = needsChecksum;
        if (segmentSize > 0) (header[1], header[2]) = (udp, headers);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(4), (ushort)segmentSize);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(6), (ushort)start);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(8), (ushort)offset);
        return header;
    }

    private static byte[] SuperPacket(int segmentSize, int segments)
    {
        byte[] udp = PlainBytes.Udp(From, To, 1000, 7, new byte[segmentSize * segments]);
        return [.. Offload(start: 34, offset: 6, segmentSize), .. Ip(PlainBytes.Ipv4(From, To, 17, udp, fragment: 0x4000))];
    }
}
