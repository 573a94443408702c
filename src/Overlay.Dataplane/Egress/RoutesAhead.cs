using System.Buffers.Binary;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <summary>
/// Looks up where the next frames of a batch are routed before they are taken one by one: in a table that no cache holds, their lookups then
/// wait for memory together. Only an aid: what a parsed packet says decides whether a value is its own.
/// </summary>
internal sealed class RoutesAhead
{
    /// <summary>Of prefixes: a smaller table is in a cache, where a lookup does not wait.</summary>
    public const int Fewest = 16_384;

    private const int Window = 64;
    private const int NetworkOffset = EthernetFrame.MinHeaderLength;
    private const int DestinationV4 = NetworkOffset + 16;
    private const int DestinationV6 = NetworkOffset + 24;

    private readonly uint[] _v4 = new uint[Window];
    private readonly UInt128[] _v6 = new UInt128[Window];
    private readonly int[] _valuesV4 = new int[Window], _valuesV6 = new int[Window];

    /// <summary>By frame of the window: its place among those of its family.</summary>
    private readonly byte[] _places = new byte[Window];

    private int _first, _end, _countV4, _countV6;
    private bool _isUsed;

    /// <summary>Before the first frame of a batch is taken.</summary>
    public void Begin(int first, RouteTable routes)
    {
        _isUsed = routes.Count >= Fewest;
        _first = _end = first;
        _countV4 = _countV6 = 0;
    }

    /// <summary>Before a frame is taken; they come in order.</summary>
    public void Reach(int next, ReadOnlySpan<Frame> frames, PacketMemory memory, RouteTable routes)
    {
        if (_isUsed && next == _end) Look(frames.Slice(next, Math.Min(Window, frames.Length - next)), memory, routes);
    }

    /// <summary>As <see cref="Segment.Route"/>, of the frame reached last.</summary>
    /// <param name="frame">Its index in the batch.</param>
    /// <param name="packet">What it was parsed as.</param>
    /// <param name="segment">With the routes that were looked up in.</param>
    public int Route(int frame, in InnerPacket packet, Segment segment)
    {
        if (!_isUsed) return segment.Route(packet);
        int place = _places[frame - _first];
        if (packet.IsIpv4) return place < _countV4 && _v4[place] == packet.DestinationV4 ? _valuesV4[place] : segment.Route(packet);
        return place < _countV6 && _v6[place] == packet.DestinationV6 ? _valuesV6[place] : segment.Route(packet);
    }

    private void Look(ReadOnlySpan<Frame> frames, PacketMemory memory, RouteTable routes)
    {
        _first = _end;
        _end += frames.Length;
        _countV4 = _countV6 = 0;
        for (int i = 0; i < frames.Length; i++)
        {
            ReadOnlySpan<byte> bytes = memory.Span(frames[i].Offset, frames[i].Length);
            _places[i] = byte.MaxValue;
            if (bytes.Length < NetworkOffset + Ipv4Packet.MinHeaderLength) continue;
            switch (BinaryPrimitives.ReadUInt16BigEndian(bytes[(NetworkOffset - sizeof(ushort))..]))
            {
                case EtherTypes.Ipv4:
                    _v4[_countV4] = BinaryPrimitives.ReadUInt32BigEndian(bytes[DestinationV4..]);
                    _places[i] = (byte)_countV4++;
                    break;
                case EtherTypes.Ipv6 when bytes.Length >= NetworkOffset + Ipv6Packet.HeaderLength:
                    _v6[_countV6] = BinaryPrimitives.ReadUInt128BigEndian(bytes[DestinationV6..]);
                    _places[i] = (byte)_countV6++;
                    break;
            }
        }
        routes.LookupV4(_v4.AsSpan(0, _countV4), _valuesV4);
        routes.LookupV6(_v6.AsSpan(0, _countV6), _valuesV6);
    }
}
