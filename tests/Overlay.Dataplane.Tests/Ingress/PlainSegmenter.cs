using System.Buffers.Binary;
using Overlay.Dataplane.Offload;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Ingress;

/// <summary>What a kernel does with the frames a device is given: finishes checksums and cuts super-packets. Plain and slow, for comparison.</summary>
internal static class PlainSegmenter
{
    public static List<byte[]> Segment(MemoryFrame frame)
    {
        VirtioNetHeader offload = frame.Offload;
        if ((offload.Flags & VirtioNetFlags.NeedsChecksum) == 0)
        {
            Assert.Equal(VirtioGsoType.None, offload.GsoType);
            return [frame.Bytes];
        }

        bool v4 = frame.Bytes[12] == 0x08;
        bool udp = offload.ChecksumOffset == 6;
        int transport = offload.ChecksumStart;
        ushort field = BinaryPrimitives.ReadUInt16BigEndian(frame.Bytes.AsSpan(transport + offload.ChecksumOffset));
        Assert.Equal(PlainPacket.PseudoHeader(frame.Bytes, transport, udp), field);
        if (offload.GsoType == VirtioGsoType.None)
        {
            byte[] whole = (byte[])frame.Bytes.Clone();
            PlainPacket.FinishTransport(whole, transport);
            return [whole];
        }

        VirtioGsoType expected = udp ? VirtioGsoType.Udp : v4 ? VirtioGsoType.Tcp4 : VirtioGsoType.Tcp6;
        Assert.Equal(expected, offload.GsoType & ~VirtioGsoType.Ecn);
        int headers = transport + (udp ? 8 : frame.Bytes[transport + 12] >> 4 << 2);
        Assert.Equal(headers, offload.HeaderLength);
        Assert.True(frame.Bytes.Length - headers > offload.SegmentSize, "a super-packet of one segment");
        Assert.True(frame.Bytes.Length - 14 <= 65_535, "longer than an IP packet can be");
        if (v4) Assert.Equal(0xffff, PlainPacket.Sum(frame.Bytes.AsSpan(14, (frame.Bytes[14] & 15) * 4)));
        Assert.Equal(frame.Bytes.Length - (v4 ? 14 : 54), BinaryPrimitives.ReadUInt16BigEndian(frame.Bytes.AsSpan(v4 ? 16 : 18)));
        if (udp) Assert.Equal(frame.Bytes.Length - transport, BinaryPrimitives.ReadUInt16BigEndian(frame.Bytes.AsSpan(transport + 4)));

        var segments = new List<byte[]>();
        for (int at = headers; at < frame.Bytes.Length; at += offload.SegmentSize)
        {
            int size = Math.Min(offload.SegmentSize, frame.Bytes.Length - at);
            byte[] segment = [.. frame.Bytes.AsSpan(0, headers), .. frame.Bytes.AsSpan(at, size)];
            bool isLast = at + size == frame.Bytes.Length;
            if (v4)
            {
                Add16(segment.AsSpan(18), segments.Count);
                BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(16), (ushort)(segment.Length - 14));
                segment[24] = segment[25] = 0;
                BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(24), (ushort)~PlainPacket.Sum(segment.AsSpan(14, transport - 14)));
            }
            else
            {
                BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(18), (ushort)(segment.Length - 54));
            }
            if (udp)
            {
                BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(transport + 4), (ushort)(segment.Length - transport));
            }
            else
            {
                Span<byte> sequence = segment.AsSpan(transport + 4);
                BinaryPrimitives.WriteUInt32BigEndian(sequence, BinaryPrimitives.ReadUInt32BigEndian(sequence) + (uint)(at - headers));
                if (!isLast) segment[transport + 13] &= 0xf6;
                if (at != headers) segment[transport + 13] &= 0x7f;
            }
            PlainPacket.FinishTransport(segment, transport);
            segments.Add(segment);
        }
        return segments;
    }

    private static void Add16(Span<byte> field, int value) =>
        BinaryPrimitives.WriteUInt16BigEndian(field, (ushort)(BinaryPrimitives.ReadUInt16BigEndian(field) + value));
}
