using System.Runtime.InteropServices;
using Overlay.Dataplane.Bridging;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Fuzz.Targets;

/// <summary>Mutated frames through both ways of bridged segments, between few hosts that move: in and copies = out + answered + dropped, no table beyond its limit.</summary>
internal sealed class BridgeTarget : IFuzzTarget
{
    private const int Batch = 40;
    private const int Hosts = 24;

    public string Name => "bridged segments";

    public int Share => 100;

    public void Run(Random random, InputSource inputs, int count, Verdicts verdicts)
    {
        BridgeLab[] labs =
        [
            new(new BridgeLabOptions { LearnsNeighbours = true, LearnLimit = 8, TrainCapacity = 4 }),
            new(new BridgeLabOptions { Format = new TunnelFormat { Encapsulation = Encapsulation.Geneve, KeepsVlanTags = true }, FloodsUnknown = false, ForwardsReserved = true }),
            new(new BridgeLabOptions
            {
                Tunnel = TunnelOffload.Ipv4,
                LearnsNeighbours = true,
                FloodsUnknownNeighbours = false,
                Fixed = [(Host(1), 0), (Host(2), -1)],
                Neighbours = [(IpBits.Mapped(EgressLab.V4(2, 9)), new BridgeNeighbour(Host(1), false)), (EgressLab.V6(2, 9), new BridgeNeighbour(Host(3), true))],
            }),
        ];
        foreach (BridgeLab lab in labs)
        {
            lab.Underlay.Outcome = _ => random.Next(8) == 0 ? (SendOutcome)random.Next(5) : SendOutcome.Sent;
            lab.Peers[1].Path.LinkMtu = 1000;
        }
        for (int left = count; left > 0; left -= Batch)
        {
            BridgeLab lab = labs[random.Next(labs.Length)];
            lab.Time.Advance(TimeSpan.FromMilliseconds(random.Next(2000)));
            for (int i = 0; i < Batch / 2; i++) lab.Device.Deliver(Frame(random, inputs, out VirtioNetHeader offload), offload);
            lab.RunEgress();
            for (int i = 0; i < Batch / 2; i++) Deliver(lab, random, inputs);
            lab.RunIngress();
            if (random.Next(4) == 0) lab.Bridge.Sweep();
            lab.CheckBalance();
            lab.Underlay.Sent.Clear();
            lab.Device.Written.Clear();
        }
        foreach (BridgeLab lab in labs) verdicts.Add(lab.Counters);
    }

    private static void Deliver(BridgeLab lab, Random random, InputSource inputs)
    {
        byte[] frame = Frame(random, inputs, out _);
        byte[] datagram = [.. lab.Segment.TunnelHeader, .. frame];
        if (random.Next(8) == 0) datagram[random.Next(lab.Segment.HeaderLength)] = (byte)random.Next(256);
        byte[] train = [.. Enumerable.Repeat(datagram, random.Next(3) == 0 && datagram.Length is > 0 and < 4000 ? random.Next(2, 6) : 1).SelectMany(each => each)];
        lab.Underlay.Deliver(
            lab.Peers[random.Next(lab.Peers.Length)].Endpoint, train, datagram.Length, (byte)random.Next(256), lab.Segment.Tunnel.Encapsulation);
    }

    private static byte[] Frame(Random random, InputSource inputs, out VirtioNetHeader offload)
    {
        offload = default;
        byte[] bytes;
        if (random.Next(3) == 0)
        {
            bool isIpv6 = random.Next(2) == 0;
            var inner = new InnerFrame
            {
                IsIpv6 = isIpv6,
                IsUdp = random.Next(2) == 0,
                Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
                Destination = isIpv6 ? EgressLab.V6(2, 9) : EgressLab.V4(2, 9),
                Payload = new byte[random.Next(8) == 0 ? random.Next(60_000) : random.Next(3000)],
            };
            offload = inner.Offload(random.Next(3) == 0 ? 0 : random.Next(1, 1500));
            bytes = inner.Unfinished();
            if (random.Next(2) == 0) bytes = bytes[..inputs.Mutate(bytes, bytes.Length)];
            if (random.Next(4) == 0) MemoryMarshal.AsBytes(MemoryMarshal.CreateSpan(ref offload, 1))[random.Next(10)] = (byte)random.Next(256);
        }
        else
        {
            bytes = inputs.Frame().ToArray();
        }
        if (bytes.Length < 2 * MacAddress.Length || random.Next(8) == 0) return bytes;
        MacAddress destination = random.Next(16) switch
        {
            0 => new MacAddress([0x01, 0x80, 0xc2, 0, 0, (byte)random.Next(16)]),
            < 5 => MacAddress.Broadcast,
            _ => Host(random.Next(Hosts)),
        };
        destination.CopyTo(bytes);
        Host(random.Next(Hosts)).CopyTo(bytes.AsSpan(MacAddress.Length));
        return bytes;
    }

    private static MacAddress Host(int number) => new([2, 0, 0, 0, 0x0a, (byte)number]);
}
