using Overlay.Dataplane.Buffers;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>
/// Cuts IPv4 packets without DF into fragments, before they are encapsulated (RFC 791, 3.2; RFC 4459, 3.4): headers are copied, payloads
/// stay where they are. Options that do not have the copied flag are in the first fragment only.
/// </summary>
internal sealed class Fragmenter(HeaderArena arena, TrainBuilder trains)
{
    private const byte CopiedFlag = 0x80;
    private const byte NoOperation = 1;

    /// <summary>Fragments that a payload takes.</summary>
    /// <param name="payload">Bytes behind the IP header.</param>
    /// <param name="room">Payload bytes of a fragment, a multiple of 8.</param>
    public static int Count(int payload, int room) => (payload + room - 1) / room;

    /// <param name="output">Has room for the trains and two slices a fragment; so has the arena for the headers.</param>
    /// <param name="flow">Where the fragments go.</param>
    /// <param name="headers">From the tunnel header to the end of the IP header.</param>
    /// <param name="network">Where the IP header starts in <paramref name="headers"/>.</param>
    /// <param name="payload">What follows the IP header.</param>
    /// <param name="room">Payload bytes of a fragment, a multiple of 8.</param>
    /// <param name="tunnelHeader">Bytes of the tunnel header.</param>
    public void Fragment(
        SendBatch output, in OuterFlow flow, ReadOnlySpan<byte> headers, int network, BufferSlice payload, int room, int tunnelHeader)
    {
        Ipv4Packet.TryParseHeader(headers[network..], out Ipv4Packet ip);
        int start = ip.FragmentOffset;
        bool more = ip.MoreFragments;
        int length = (int)payload.Length;
        for (int offset = 0; offset < length; offset += room)
        {
            int part = Math.Min(room, length - offset);
            Span<byte> copy = arena.Take(headers.Length, out BufferSlice slice);
            headers.CopyTo(copy);
            if (offset > 0) ClearUncopied(copy[(network + Ipv4Packet.MinHeaderLength)..]);
            Ipv4Packet.WriteFragment(copy[network..], headers.Length - network + part, start + offset, more || offset + part < length);
            int datagram = headers.Length + part;
            int train = trains.Place(output, flow, datagram, datagram - tunnelHeader);
            output.AddSlice(train, slice);
            output.AddSlice(train, new BufferSlice(payload.Address + offset, part));
        }
    }

    /// <summary>Overwrites options that belong to the first fragment only, so that the header keeps its length.</summary>
    private static void ClearUncopied(Span<byte> options)
    {
        while (options.Length > 0)
        {
            byte type = options[0];
            if (type == 0) return;
            int length = type == NoOperation ? 1 : options.Length > 1 ? options[1] : 0;
            if (length < 1 || (type != NoOperation && length < 2) || length > options.Length) return;
            if ((type & CopiedFlag) == 0) options[..length].Fill(NoOperation);
            options = options[length..];
        }
    }
}
