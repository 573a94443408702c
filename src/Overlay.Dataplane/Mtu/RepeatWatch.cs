namespace Overlay.Dataplane.Mtu;

/// <summary>
/// Finds out by the TCP of workloads that large packets vanish on the way to a peer which answers no probes (packetization layer path MTU
/// discovery, RFC 4821, 7.6): a segment that is sent for the third time is cut, once, into packets of <see cref="Smaller"/> bytes, which
/// its receiver does not notice. Where the connection then goes on, and the next segment fares alike, size is the cause. A path that is down
/// swallows the pieces too, and proves nothing.
/// </summary>
/// <remarks>
/// Workers note what they send, another thread takes what was found out. A flow keeps to one worker; where two flows of two workers meet in
/// one slot, the worst is that a segment is cut or is not.
/// </remarks>
public sealed class RepeatWatch
{
    /// <summary>Bytes of an outer packet that a segment is cut to: what every path should carry (RFC 8200, 5).</summary>
    public const int Smaller = PathSearch.LeastIpv6;

    /// <summary>A power of two.</summary>
    private const int Slots = 16;

    /// <summary>Times that a segment is sent before it is cut: whole twice, and in pieces the third time.</summary>
    private const int FirstPatience = 3;

    /// <summary>The same for a connection of which pieces have passed.</summary>
    private const int NextPatience = 2;

    /// <summary>Segments of a connection of which only pieces pass.</summary>
    private const int Proofs = 2;

    /// <summary>Segments of it that pass whole, and set the count back.</summary>
    private const int Doubts = 8;

    private readonly Flow[] _flows = new Flow[Slots];
    private int _lost;

    /// <summary>Notes a TCP packet with payload that is sent as it came, no super-packet. For workers.</summary>
    /// <param name="flow">Hash of the connection.</param>
    /// <param name="sequence">Of the first byte of payload.</param>
    /// <param name="size">Bytes of the outer IP packet.</param>
    /// <returns>True when it is to be sent in packets of <see cref="Smaller"/> bytes.</returns>
    public bool IsToBeCut(uint flow, uint sequence, int size)
    {
        if (size <= Smaller) return false;
        ref Flow known = ref _flows[flow & (Slots - 1)];
        if (known.Hash != flow) known = new Flow { Hash = flow };
        else if (known.Sequence != sequence) Leave(ref known, sequence);
        else if (known.IsCut) known.Passed = -1;
        known.Sequence = sequence;
        known.Size = size;
        known.Times++;
        if (known.IsCut || known.Passed < 0 || known.Times < (known.Passed == 0 ? FirstPatience : NextPatience)) return false;
        return known.IsCut = true;
    }

    /// <summary>Takes what was found out since the last call.</summary>
    /// <returns>Bytes of the outer packets that are lost; 0: nothing was found out.</returns>
    public int TakeLost() => Interlocked.Exchange(ref _lost, 0);

    /// <summary>The connection goes on to another segment. One further on means that the one before has arrived.</summary>
    private void Leave(ref Flow flow, uint sequence)
    {
        bool isFurther = (int)(sequence - flow.Sequence) > 0;
        if (isFurther && flow.Passed < 0) flow.Passed = 0;
        else if (isFurther && flow.IsCut)
        {
            flow.Whole = 0;
            if (++flow.Passed >= Proofs)
            {
                Volatile.Write(ref _lost, flow.Size);
                flow.Passed = 0;
            }
        }
        else if (isFurther && ++flow.Whole >= Doubts) (flow.Whole, flow.Passed) = (0, 0);
        flow.Times = 0;
        flow.IsCut = false;
    }

    private struct Flow
    {
        public uint Hash;
        public uint Sequence;
        public int Size;
        public int Times;

        /// <summary>Segments that arrived in pieces only; negative while not even the pieces of one have.</summary>
        public int Passed;

        /// <summary>Segments in a row that arrived whole.</summary>
        public int Whole;

        public bool IsCut;
    }
}
