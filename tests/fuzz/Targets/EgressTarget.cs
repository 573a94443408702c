using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Offload;
using Overlay.Dataplane.Tunnels;
using Overlay.Testing;
using Overlay.Wire;

namespace Overlay.Fuzz.Targets;

/// <summary>Whole batches of mutated frames with any offload request through the way out: in = out + answered + dropped.</summary>
internal sealed class EgressTarget : IFuzzTarget
{
    private const int Batch = 50;

    public string Name => "egress path";

    public int Share => 100;

    public void Run(Random random, InputSource inputs, int count, Verdicts verdicts)
    {
        EgressLab[] labs =
        [
            new(), new(TunnelOffload.Ipv4), new(format: new TunnelFormat { Encapsulation = Encapsulation.Geneve, IsBareIp = true }),
            new(format: new TunnelFormat { Encapsulation = Encapsulation.Geneve, KeepsVlanTags = true }),
            new(format: new TunnelFormat { Encapsulation = Encapsulation.IpInIp }),
            new(format: new TunnelFormat { Encapsulation = Encapsulation.IpInIp, EncapsulationLimit = 4 }),
        ];
        foreach (EgressLab lab in labs) lab.Underlay.Outcome = _ => random.Next(8) == 0 ? (SendOutcome)random.Next(5) : SendOutcome.Sent;
        for (int left = count; left > 0; left -= Batch)
        {
            EgressLab lab = labs[random.Next(labs.Length)];
            for (int i = 0; i < Batch; i++) lab.Deliver(Frame(random, inputs, out VirtioNetHeader offload), offload);
            lab.Run();
            lab.Underlay.Sent.Clear();
            lab.Device.Written.Clear();
        }
        foreach (EgressLab lab in labs)
        {
            long accounted = lab.Counters.EgressOut.Packets + lab.Counters.EgressAnswered + lab.EgressDrops;
            verdicts.Add(lab.Counters);
            if (lab.Counters.EgressIn.Packets != accounted)
                throw new InvalidOperationException($"{lab.Counters.EgressIn.Packets} in, {accounted} out, answered or dropped");
        }
    }

    /// <summary>Has an IP packet behind an untagged header go where there is a route, and come now and then from an end of the tunnel.</summary>
    private static void Address(Random random, byte[] frame)
    {
        int node = random.Next(2, 10);
        Span<byte> ip = frame.AsSpan(Math.Min(EthernetFrame.MinHeaderLength, frame.Length));
        if (ip.Length >= Ipv6Packet.HeaderLength && ip[0] >> 4 == 6)
        {
            if (random.Next(8) == 0) BinaryPrimitives.WriteUInt128BigEndian(ip[8..], EgressLab.LocalOuterV6);
            BinaryPrimitives.WriteUInt128BigEndian(ip[24..], EgressLab.V6(node, 9));
        }
        else if (ip.Length >= Ipv4Packet.MinHeaderLength && ip[0] >> 4 == 4)
        {
            if (random.Next(8) == 0) BinaryPrimitives.WriteUInt32BigEndian(ip[12..], EgressLab.LocalOuterV4);
            BinaryPrimitives.WriteUInt32BigEndian(ip[16..], EgressLab.V4(node, 9));
        }
    }

    private static byte[] Frame(Random random, InputSource inputs, out VirtioNetHeader offload)
    {
        offload = default;
        byte[] bytes;
        if (random.Next(2) == 0)
        {
            bytes = inputs.Frame().ToArray();
            if (random.Next(2) == 0) Address(random, bytes);
            if (random.Next(2) == 0) random.NextBytes(MemoryMarshal.AsBytes(MemoryMarshal.CreateSpan(ref offload, 1)));
            return bytes;
        }
        bool isIpv6 = random.Next(2) == 0;
        int node = random.Next(2, 6);
        var frame = new InnerFrame
        {
            IsIpv6 = isIpv6,
            IsUdp = random.Next(2) == 0,
            Source = isIpv6 ? EgressLab.LocalV6 : EgressLab.LocalV4,
            Destination = isIpv6 ? EgressLab.V6(node, 9) : EgressLab.V4(node, 9),
            Payload = new byte[random.Next(8) == 0 ? random.Next(60_000) : random.Next(3000)],
        };
        offload = frame.Offload(random.Next(3) == 0 ? 0 : random.Next(1, 1500));
        bytes = frame.Unfinished();
        bytes = bytes[..inputs.Mutate(bytes, bytes.Length)];
        if (random.Next(4) == 0) MemoryMarshal.AsBytes(MemoryMarshal.CreateSpan(ref offload, 1))[random.Next(10)] = (byte)random.Next(256);
        return bytes;
    }
}
