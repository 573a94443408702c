using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Dataplane.Tunnels;
using Overlay.Wire;

namespace Overlay.Dataplane.Offload;

/// <summary>
/// Joins consecutive packets of a TCP or UDP flow into super-packets for a device: the inverse of segmentation, and held to it. A
/// super-packet, segmented, gives the packets that were received, bit for bit but for the IPv4 identification of packets with DF set:
/// those are atomic, their identification means nothing and nobody may interpret it (RFC 6864, 4). Without DF identifications have to be
/// consecutive.
/// <para>
/// A packet joins a run if Ethernet, IP and transport headers are equal (addresses, traffic class, TTL, DF, flow label, ports,
/// acknowledgment, window, urgent pointer, options with timestamps), its sequence number follows, it carries no TCP flag but ACK and PSH,
/// its checksums are right, and its payload is as long as the first one's. A shorter one, PSH, 65,535 bytes or the most packets a
/// super-packet may have complete the run. A UDP packet also has to carry a checksum. Never joined: fragments, IPv4 options, IPv6
/// extension headers. Padding behind the IP packet is left out.
/// </para>
/// <para>
/// The order within a flow is that of arrival: a packet that cannot join its flow's run ends it first. Several flows may be interleaved;
/// when there are more than <see cref="MaxRuns"/> the oldest run gives way. A packet with a wrong checksum is passed on as it came, so
/// that the receiver counts and drops it.
/// </para>
/// <para>
/// Bare IP packets are given in the place where they would be behind an Ethernet header, which is neither read nor written in the receive
/// memory: what is there may be another packet's. The frames for the device get a header of their own.
/// </para>
/// One thread; allocates nothing. The slices handed out point into the receive memory.
/// </summary>
/// <param name="output">
/// Takes the frames. A frame that finds no room there is dropped as <see cref="DropReason.IngressDeviceRefused"/>.
/// </param>
/// <param name="counters">For those drops.</param>
public sealed class Coalescer(GatherBatch output, QueueCounters counters)
{
    /// <summary>Flows that can be coalesced at a time.</summary>
    public const int MaxRuns = 16;

    private const uint AllOpen = (1u << MaxRuns) - 1;
    private const int EthernetHeaderPlace = 64;

    private readonly CoalescerRun[] _runs = new CoalescerRun[MaxRuns];
    private readonly uint[] _hashes = new uint[MaxRuns];
    private readonly Peer?[] _origins = new Peer?[MaxRuns];
    private readonly BufferSlice[] _slices = new BufferSlice[MaxRuns * CoalescerRun.MaxPackets];
    private readonly PacketMemory _ethernetHeaders = new(2 * EthernetHeaderPlace);
    private readonly BufferSlice[] _behindHeader = new BufferSlice[CoalescerRun.MaxPackets + 1];
    private bool _isBareIp;
    private uint _open;
    private int _latest;
    private long _age;

    /// <summary>Who sent the frames to come; told on with what they become.</summary>
    public Peer? Origin { get; set; }

    /// <summary>Where the Ethernet headers of bare packets lie.</summary>
    internal PacketMemory EthernetHeaders => _ethernetHeaders;

    /// <summary>Super-packets begun since the start: runs that got a second packet, and super-packets that arrived whole.</summary>
    public long SuperPackets { get; private set; }

    /// <summary>Says what the packets to come are. Runs of the other kind are ended.</summary>
    /// <param name="memory">Holds the frames.</param>
    /// <param name="isBareIp">True for IP packets without an Ethernet header.</param>
    /// <param name="deviceMac">Destination of the header that such packets get.</param>
    public void Carry(PacketMemory memory, bool isBareIp, MacAddress deviceMac)
    {
        if (isBareIp == _isBareIp) return;
        Flush(memory);
        _isBareIp = isBareIp;
        EthernetFrame.WriteHeader(EthernetHeader(isIpv4: true), deviceMac, RoutedGateway.Mac, EtherTypes.Ipv4);
        EthernetFrame.WriteHeader(EthernetHeader(isIpv4: false), deviceMac, RoutedGateway.Mac, EtherTypes.Ipv6);
    }

    /// <summary>
    /// Joins a frame to the run that grew last, if it continues that one. Needs no parsed packet, since a frame whose headers equal those of
    /// an accepted one is acceptable.
    /// </summary>
    /// <param name="memory">Holds the frame, unchanged until the output has been written.</param>
    /// <param name="offset">Where the frame starts.</param>
    /// <param name="length">Bytes of the frame.</param>
    /// <param name="outerEcn">ECN code point of the outer header.</param>
    /// <returns>False when nothing was done; the frame is for <see cref="Add"/> then.</returns>
    public bool TryContinue(PacketMemory memory, int offset, int length, int outerEcn)
    {
        int slot = _latest;
        if ((_open >> slot & 1) == 0) return false;
        int ecn = _runs[slot].Ecn;
        return EcnDecapsulation.Combine(ecn, outerEcn) == ecn && TryJoin(slot, memory, offset, length);
    }

    /// <summary>Takes a frame for the device: joins it to its flow's run, begins a run with it, or passes it on alone.</summary>
    /// <param name="memory">Holds the frame, unchanged until the output has been written.</param>
    /// <param name="offset">Where the frame starts.</param>
    /// <param name="length">Bytes of the frame.</param>
    /// <param name="packet">The frame, parsed.</param>
    /// <param name="sizes">How the frame is to be segmented if it turns out to be a super-packet that arrived whole.</param>
    /// <returns>Packets that the frame stands for: one, or the segments of a super-packet that arrived whole.</returns>
    public int Add(PacketMemory memory, int offset, int length, in InnerPacket packet, in SegmentSizes sizes)
    {
        ReadOnlySpan<byte> frame = memory.Span(offset, length);
        VirtioNetHeader offload = default;
        if (!packet.HasTransport)
        {
            if (packet.Protocol is IpProtocols.Tcp or IpProtocols.Udp) CloseBetween(memory, frame, packet);
            Emit(offload, memory.Slice(offset, length), length, 1, packet.IsIpv4);
            return 1;
        }

        int slot = Find(packet.FlowHash);
        if (slot >= 0)
        {
            if (TryJoin(slot, memory, offset, length)) return 1;
            Close(slot, memory);
        }

        int packets = 1;
        switch (TransportChecksum.Check(frame, packet))
        {
            case ChecksumState.Valid when CoalescerRun.TryStart(frame, offset, packet, out CoalescerRun run):
                Open(run, packet.FlowHash, memory);
                return 1;
            case ChecksumState.Valid:
                offload.Flags = VirtioNetFlags.DataValid;
                break;
            case ChecksumState.Unfinished:
                packets = sizes.Describe(frame, packet, out offload);
                if (packets > 1) SuperPackets++;
                length = packet.End;
                break;
        }
        Emit(offload, memory.Slice(offset, length), length, packets, packet.IsIpv4);
        return packets;
    }

    /// <summary>Ends all runs, the oldest first.</summary>
    /// <param name="memory">Holds the frames.</param>
    public void Flush(PacketMemory memory)
    {
        while (_open != 0) Close(Oldest(), memory);
    }

    private bool TryJoin(int slot, PacketMemory memory, int offset, int length)
    {
        ref CoalescerRun run = ref _runs[slot];
        int taken = run.TryTake(memory.Span(run.Offset, run.HeadersEnd), memory.Span(offset, length));
        if (taken == 0) return false;
        _slices[(slot * CoalescerRun.MaxPackets) + run.Packets - 1] = memory.Slice(offset + run.HeadersEnd, taken);
        _latest = slot;
        if (run.Packets == 2) SuperPackets++;
        if (run.IsComplete) Close(slot, memory);
        return true;
    }

    private void Open(in CoalescerRun run, uint flowHash, PacketMemory memory)
    {
        if (_open == AllOpen) Close(Oldest(), memory);
        int slot = BitOperations.TrailingZeroCount(~_open);
        _open |= 1u << slot;
        _latest = slot;
        _hashes[slot] = flowHash;
        _origins[slot] = Origin;
        _runs[slot] = run;
        _runs[slot].Age = _age++;
        _slices[slot * CoalescerRun.MaxPackets] = memory.Slice(run.Offset, run.HeadersEnd + run.Payload);
    }

    private void Close(int slot, PacketMemory memory)
    {
        ref readonly CoalescerRun run = ref _runs[slot];
        _open &= ~(1u << slot);
        VirtioNetHeader offload = run.Packets > 1
            ? run.Finish(memory.Span(run.Offset, run.HeadersEnd))
            : new VirtioNetHeader { Flags = VirtioNetFlags.DataValid };
        Emit(offload, _slices.AsSpan(slot * CoalescerRun.MaxPackets, run.Packets), run.HeadersEnd + run.Payload, run.Packets, run.Layout.IsIpv4, _origins[slot]);
    }

    // A fragment, or a transport header too broken to have ports, may belong to any flow between its two addresses.
    private void CloseBetween(PacketMemory memory, ReadOnlySpan<byte> frame, in InnerPacket packet)
    {
        for (uint rest = _open; rest != 0; rest &= rest - 1)
        {
            int slot = BitOperations.TrailingZeroCount(rest);
            ref readonly CoalescerRun run = ref _runs[slot];
            if (run.Layout.IsIpv4 != packet.IsIpv4 || run.Layout.IsTcp != (packet.Protocol == IpProtocols.Tcp)) continue;
            if (run.Layout.Addresses(memory.Span(run.Offset, run.HeadersEnd)).SequenceEqual(run.Layout.Addresses(frame))) Close(slot, memory);
        }
    }

    private int Find(uint flowHash)
    {
        Vector512<uint> equal = Vector512.Equals(Vector512.Create(_hashes), Vector512.Create(flowHash));
        uint found = (uint)equal.ExtractMostSignificantBits() & _open;
        return found == 0 ? -1 : BitOperations.TrailingZeroCount(found);
    }

    private int Oldest()
    {
        int oldest = BitOperations.TrailingZeroCount(_open);
        for (uint rest = _open & (_open - 1); rest != 0; rest &= rest - 1)
        {
            int slot = BitOperations.TrailingZeroCount(rest);
            if (_runs[slot].Age < _runs[oldest].Age) oldest = slot;
        }
        return oldest;
    }

    private void Emit(in VirtioNetHeader offload, BufferSlice slice, int length, int packets, bool isIpv4) =>
        Emit(offload, MemoryMarshal.CreateReadOnlySpan(ref slice, 1), length, packets, isIpv4, Origin);

    private void Emit(in VirtioNetHeader offload, ReadOnlySpan<BufferSlice> slices, int length, int packets, bool isIpv4, Peer? origin)
    {
        if (_isBareIp) slices = BehindEthernetHeader(slices, isIpv4);
        if (output.Fits(slices.Length)) output.Add(offload, slices, length, packets, origin);
        else counters.Drop(DropReason.IngressDeviceRefused, packets);
    }

    private ReadOnlySpan<BufferSlice> BehindEthernetHeader(ReadOnlySpan<BufferSlice> slices, bool isIpv4)
    {
        const int header = EthernetFrame.MinHeaderLength;
        _behindHeader[0] = _ethernetHeaders.Slice(isIpv4 ? 0 : EthernetHeaderPlace, header);
        slices.CopyTo(_behindHeader.AsSpan(1));
        _behindHeader[1] = new BufferSlice(slices[0].Address + header, slices[0].Length - header);
        return _behindHeader.AsSpan(0, slices.Length + 1);
    }

    private Span<byte> EthernetHeader(bool isIpv4) =>
        _ethernetHeaders.Span(isIpv4 ? 0 : EthernetHeaderPlace, EthernetFrame.MinHeaderLength);
}
