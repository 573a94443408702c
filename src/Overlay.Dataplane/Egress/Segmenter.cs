using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Offload;

namespace Overlay.Dataplane.Egress;

/// <summary>Cuts a super-packet into datagrams of {header copy, payload slice}, each valid on its own. The payload is read once and not copied.</summary>
internal sealed class Segmenter(HeaderArena arena, TrainBuilder trains)
{
    /// <param name="output">Has room for the trains and two slices a segment; so has the arena for the headers.</param>
    /// <param name="flow">Where the datagrams go.</param>
    /// <param name="super">Its headers start with the tunnel header.</param>
    /// <param name="tunnelHeader">Bytes of the tunnel header.</param>
    /// <param name="memory">Where the payload lies.</param>
    /// <param name="payload">Offset of the payload in <paramref name="memory"/>.</param>
    public void Segment(SendBatch output, in OuterFlow flow, SuperPacket super, int tunnelHeader, PacketMemory memory, int payload)
    {
        int offset = 0;
        do
        {
            int length = Math.Min(super.SegmentSize, super.PayloadLength - offset);
            Span<byte> headers = arena.Take(super.HeaderLength, out BufferSlice headerSlice);
            super.WriteHeaders(headers, offset, length);
            super.FinishChecksum(headers, memory.Span(payload + offset, length));

            int datagram = super.HeaderLength + length;
            int train = trains.Place(output, flow, datagram, datagram - tunnelHeader);
            output.AddSlice(train, headerSlice);
            if (length > 0) output.AddSlice(train, memory.Slice(payload + offset, length));
            if (offset == 0) output.Trains[train].SuperPackets++;
            offset += length;
        }
        while (offset < super.PayloadLength);
    }
}
