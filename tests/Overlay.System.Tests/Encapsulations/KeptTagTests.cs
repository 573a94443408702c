using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Setups;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Encapsulations;

/// <summary>Frames whose inner VLAN tags a routed segment keeps, put on one tunnel device and taken from the other.</summary>
public sealed class KeptTagTests
{
    private const int Count = 20;

    [Theory]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.Vxlan, UnderlayFamily.Ipv6)]
    [InlineData((int)HostileTunnel.Geneve, UnderlayFamily.Ipv4)]
    [InlineData((int)HostileTunnel.Geneve, UnderlayFamily.Ipv6)]
    public async Task Forward_TaggedFrames_ArriveWithTheirTags(int kind, UnderlayFamily family)
    {
        TunnelOptions plain = Encapsulation.Of((HostileTunnel)kind);
        TunnelOptions tunnel = plain with { SegmentLines = [.. plain.SegmentLines, "vlan: keep"] };
        await using LabNetwork network = await LabNetwork.CreateAsync(new LabOptions { Family = family });
        await network.StartDaemonAsync(network.A, tunnel);
        await network.StartDaemonAsync(network.B, tunnel);
        using DeviceCapture arrived = await DeviceCapture.StartAsync(network.A, "in", "vlan and ip proto 253");
        using PacketSocket device = await PacketSocket.OpenAsync(network.B.Host, "overlay0");

        byte[][] sent = [.. Enumerable.Range(1, Count).Select(vlan => Tagged(network, vlan, NumberedPacket.Ipv4(vlan)))];
        foreach (byte[] frame in sent) device.Send(frame);

        Assert.Equal(Text(sent), Text(await arrived.StopWithEthernetAsync(Count)));
    }

    /// <summary>IEEE 802.1Q, priority 5.</summary>
    private static byte[] Tagged(LabNetwork network, int vlan, byte[] packet) =>
        [.. PlainBytes.Mac(network.A.Mac), .. PlainBytes.Mac(network.B.Mac), 0x81, 0, .. PlainBytes.Word(0xa000 | vlan), 8, 0, .. packet];

    private static IEnumerable<string> Text(IEnumerable<byte[]> frames) => frames.Select(Convert.ToHexStringLower);
}
