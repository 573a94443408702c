namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>Random arrivals for the properties of the ingress path.</summary>
internal static class RandomPackets
{
    /// <summary>Packets of up to 23 interleaved flows that change their headers now and then; some reordered, lost, repeated, corrupted.</summary>
    public static List<byte[]> Arrivals(Random random)
    {
        PlainPacket[] flows = [.. Enumerable.Range(1, random.Next(1, 24)).Select(i => new PlainPacket
        {
            Host = (byte)i,
            V6 = random.Next(3) == 0,
            Udp = random.Next(3) == 0,
            DontFragment = random.Next(2) == 0,
            TcpOptions = random.Next(2) == 0 ? [] : [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4],
            Sequence = (uint)random.NextInt64(),
            NoChecksum = false,
            Payload = Bytes(random, random.Next(1, 1400)),
        })];
        var frames = new List<byte[]>();
        for (int i = 0; i < 400; i++)
        {
            ref PlainPacket flow = ref flows[random.Next(8) == 0 ? random.Next(flows.Length) : i / 40 % flows.Length];
            byte[] frame = flow.Build();
            int length = random.Next(10) == 0 ? random.Next(0, flow.Payload.Length + 20) : flow.Payload.Length;
            PlainPacket next = flow.Next(Bytes(random, length)) with { Flags = random.Next(12) == 0 ? (byte)0x18 : (byte)0x10 };
            flow = random.Next(25) switch
            {
                0 => next with { Window = (ushort)random.Next(65_536) },
                1 => next with { Flags = (byte)random.Next(256) },
                2 => next with { Acknowledgment = (uint)random.Next() },
                3 => next with { TimeToLive = (byte)random.Next(1, 256), TrafficClass = (byte)random.Next(256) },
                4 => next with { Identification = (ushort)random.Next(65_536) },
                _ => next,
            };
            switch (random.Next(20))
            {
                case 0:
                    continue;
                case 1:
                    frames.Insert(Math.Max(frames.Count - random.Next(4), 0), frame);
                    continue;
                case 2:
                    frames.Add(frame);
                    break;
                case 3:
                    frame[random.Next(34, frame.Length)] ^= 1;
                    break;
            }
            frames.Add(frame);
        }
        return frames;
    }

    /// <summary>Queues frames in order, neighbours of equal length as one train.</summary>
    public static void DeliverInTrains(IngressNode node, List<byte[]> frames, Random random)
    {
        for (int at = 0; at < frames.Count;)
        {
            int count = 1;
            int limit = Math.Min(random.Next(1, 45), 60_000 / (frames[at].Length + 8));
            while (at + count < frames.Count && count < limit && frames[at + count].Length == frames[at].Length) count++;
            node.DeliverTrain([.. frames.GetRange(at, count)]);
            at += count;
        }
    }

    /// <summary>The frame with up to two octets of its headers changed, perhaps cut short.</summary>
    public static byte[] Mutate(byte[] frame, Random random)
    {
        byte[] mutant = (byte[])frame.Clone();
        for (int i = random.Next(3); i > 0; i--) mutant[random.Next(12, Math.Min(mutant.Length, 80))] = (byte)random.Next(256);
        return random.Next(4) == 0 ? mutant[..random.Next(mutant.Length)] : mutant;
    }

    public static byte[] Bytes(Random random, int length)
    {
        byte[] bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }
}
