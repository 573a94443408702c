using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Observation;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Mtu;

/// <summary>
/// Puts path messages into the datagrams of a segment's encapsulation, so that they go the way of its packets: a frame of an experimental
/// EtherType to the peer's tunnel MAC, or in a bridged segment to a group that no bridge relays, in Geneve as control (RFC 8926, 3.4), in IP-in-IP an IP packet of an experimental protocol from one end
/// of the tunnel to the other. A peer that knows none of it drops them.
/// </summary>
/// <param name="batch">Where the datagrams go; empty at first.</param>
/// <param name="trafficClass">Outer TOS or traffic class, by which a path may be chosen.</param>
public sealed class PathFrames(SendBatch batch, byte trafficClass)
{
    private static readonly MacAddress NearestBridge = new([0x01, 0x80, 0xc2, 0, 0, 0x0e]);

    private const int ArenaLength = 256 * 1024;
    private const int MostHeader = 64;

    private readonly HeaderArena _arena = new(ArenaLength);
    private readonly PacketMemory _padding = new(ushort.MaxValue);
    private readonly Segment[] _segments = new Segment[batch.FreeTrains];

    public SendBatch Batch { get; } = batch;

    /// <summary>Shows an observer what was sent.</summary>
    /// <param name="sourcePorts">Of the underlay, by index.</param>
    /// <param name="timeToLive">Of the outer headers.</param>
    public void ShowTo(PacketObserver observer, ReadOnlySpan<ushort> sourcePorts, byte timeToLive) =>
        observer.SentPathMessages(Batch, _segments, sourcePorts, timeToLive, _arena.Memory, _padding);

    /// <summary>Empties the batch, whose datagrams have been sent.</summary>
    public void Clear()
    {
        Batch.Clear();
        _arena.Clear();
    }

    /// <summary>Adds a datagram.</summary>
    /// <param name="peer">Where it goes; its port is that of the segment's encapsulation.</param>
    /// <param name="segment">Whose encapsulation it is in.</param>
    /// <param name="local">Own outer address of the peer's family, host-order bits; IPv4 is IPv4-mapped.</param>
    /// <param name="kind">What it is.</param>
    /// <param name="outerSize">Bytes of the outer IP packet; smaller ones than the message needs are enlarged.</param>
    /// <param name="echo">Size to write in an answer; of a probe it is its own.</param>
    /// <param name="token">See <see cref="PathMessage.Token"/>.</param>
    /// <param name="sourcePort">Index among the underlay's source ports.</param>
    /// <returns>False when the batch is full.</returns>
    public bool TryAdd(Peer peer, Segment segment, UInt128 local, PathMessageKind kind, int outerSize, int echo, ulong token, int sourcePort)
    {
        if (Batch.FreeTrains == 0 || Batch.FreeSlices < 2 || !_arena.Fits(1, MostHeader)) return false;
        bool isIpInIp = segment.Tunnel.IsIpInIp;
        _segments[Batch.Count] = segment;
        ref DatagramTrain train = ref Batch.Add(peer, TrainKind.Datagrams);
        train.Packets = 1;
        train.TrafficClass = trafficClass;
        train.SourcePortIndex = (ushort)sourcePort;
        train.EncapsulationLimit = segment.Tunnel.EncapsulationLimit ?? DatagramTrain.NoLimit;
        if (isIpInIp) train.Protocol = peer.Endpoint.IsIPv4 ? IpProtocols.Ipv4InIp : IpProtocols.Ipv6InIp;

        int headers = HeadersLength(segment, peer) + PathMessage.Length;
        int size = Math.Max(outerSize - segment.OuterLengthTo(peer), headers);
        Span<byte> bytes = _arena.Take(headers, out BufferSlice slice);
        WriteHeaders(bytes, peer, segment, local, size);
        PathMessage.Write(bytes[^PathMessage.Length..], kind, kind == PathMessageKind.Probe ? size : echo, token);
        Batch.AddSlice(slice);
        if (size > headers) Batch.AddSlice(_padding.Slice(0, size - headers));
        return true;
    }

    private static int HeadersLength(Segment segment, Peer peer)
    {
        if (segment.Tunnel.IsIpInIp) return peer.Endpoint.IsIPv4 ? Ipv4Packet.MinHeaderLength : Ipv6Packet.HeaderLength;
        return (segment.Tunnel.Encapsulation == Encapsulation.Geneve ? GeneveHeader.FixedLength : segment.HeaderLength) + EthernetFrame.MinHeaderLength;
    }

    private static void WriteHeaders(Span<byte> bytes, Peer peer, Segment segment, UInt128 local, int size)
    {
        if (segment.Tunnel.IsIpInIp)
        {
            WriteInnerIp(bytes, peer.Endpoint, local, size);
            return;
        }
        int tunnel = segment.HeaderLength;
        if (segment.Tunnel.Encapsulation == Encapsulation.Geneve)
            tunnel = GeneveHeader.Write(bytes, segment.Vni, EtherTypes.TransparentEthernet, isControl: true);
        else segment.TunnelHeader.CopyTo(bytes);
        EthernetFrame.WriteHeader(bytes[tunnel..], DestinationOf(peer, segment), segment.DeviceMac, EtherTypes.LocalExperimental);
    }

    /// <summary>A bridge at the other end, not ours, would flood what is for a MAC that it does not know (IEEE 802.1Q, 8.6.3).</summary>
    private static MacAddress DestinationOf(Peer peer, Segment segment) => segment.Bridge is null ? peer.Mac : NearestBridge;

    private static void WriteInnerIp(Span<byte> bytes, UnderlayEndpoint peer, UInt128 local, int size)
    {
        if (peer.IsIPv4)
        {
            Ipv4Packet.WriteHeader(bytes, new Ipv4Fields
            {
                TotalLength = size,
                DontFragment = true,
                TimeToLive = 1,
                Protocol = IpProtocols.Experimental,
                Source = (uint)local,
                Destination = (uint)peer.Address,
            });
            return;
        }
        Ipv6Packet.WriteHeader(bytes, new Ipv6Fields
        {
            PayloadLength = size - Ipv6Packet.HeaderLength,
            NextHeader = IpProtocols.Experimental,
            HopLimit = 1,
            Source = local,
            Destination = peer.Address,
        });
    }
}
