using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Counters;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Wire;

namespace Overlay.Dataplane.Egress;

/// <content>What is known of a frame while it is sent to one peer after the other.</content>
public sealed partial class EgressPath
{
    /// <summary>A frame on its way to one or more peers.</summary>
    private record struct Copies
    {
        public Frame Frame;
        public InnerPacket Packet;

        /// <summary>Packets that the frame stands for.</summary>
        public int Segments;

        /// <summary>Bytes of VLAN tags that are not sent.</summary>
        public int Stripped;

        /// <summary>Index of the next peer; 0 while the frame has not been taken.</summary>
        public int Next;

        /// <summary>The tunnel header is in front of the frame.</summary>
        public bool IsWrapped;

        public Copies(in Frame frame, in InnerPacket packet, int segments, Segment segment)
        {
            Frame = frame;
            Packet = packet;
            Segments = segments;
            Stripped = (packet.NetworkOffset - EthernetFrame.MinHeaderLength) & ~segment.VlanMask;
        }

        /// <summary>Bytes as the device delivered it, after segmentation.</summary>
        public readonly long InnerBytes => Segments == 1 ? Frame.Length : ((long)Segments * Packet.HeadersEnd) + Packet.End - Packet.HeadersEnd;

        /// <summary>UDP payload bytes of a datagram: of a super-packet's first one.</summary>
        public readonly int Length(Segment segment) =>
            Segments == 1 ? segment.HeaderLength + Frame.Length - Stripped : HeadersLength(segment) + Frame.Offload.SegmentSize;

        /// <summary>Bytes from the tunnel header to what follows the Ethernet header.</summary>
        public readonly int PrefixLength(Segment segment) => segment.HeaderLength + Packet.NetworkOffset - Stripped;

        /// <summary>Bytes from the tunnel header to the payload.</summary>
        public readonly int HeadersLength(Segment segment) => segment.HeaderLength + Packet.HeadersEnd - Stripped;

        /// <summary>Where the datagram starts in the memory.</summary>
        public readonly int Start(Segment segment) => Frame.Offset + Stripped - segment.HeaderLength;

        /// <summary>True for an IPv6 packet of a size that every way has to carry, in fragments if need be (RFC 8200, 5).</summary>
        public readonly bool IsLeastIpv6(Segment segment) => Packet.IsIpv6 && Length(segment) - PrefixLength(segment) <= IcmpError.LeastMtuV6;

        /// <summary>True for a packet that nobody may fragment, so that its sender has to know that it does not fit.</summary>
        public readonly bool IsToBeToldOf(PacketMemory memory) =>
            Packet.IsIpv6 || (Packet.IsIpv4 && HasDontFragment(memory.Span(Frame.Offset, Frame.Length), Packet));

        /// <summary>Counts the frame in, or one more copy of it.</summary>
        public readonly void Count(QueueCounters counters)
        {
            if (Next > 0)
            {
                counters.EgressReplicated += Segments;
                return;
            }
            counters.EgressIn.Add(Segments, InnerBytes, Segments > 1 ? 1 : 0);
            if (Segments > 1) counters.EgressSizes.Add(Frame.Length);
        }

        /// <summary>Counts a copy that goes nowhere.</summary>
        /// <returns>True: it is done with.</returns>
        public readonly bool Drop(DropReason reason, QueueCounters counters)
        {
            Count(counters);
            counters.Drop(reason, Segments);
            return true;
        }
    }
}
