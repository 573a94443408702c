using System.Runtime.InteropServices;
using Overlay.Dataplane.Offload;

namespace Overlay.Dataplane.Buffers;

/// <summary>A frame as a device delivered it; its bytes lie in the batch's memory.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct Frame
{
    /// <summary>First, so that a device may have the kernel write it in place.</summary>
    public VirtioNetHeader Offload;

    /// <summary>
    /// Where the Ethernet header starts. At least <see cref="FrameBatch.Headroom"/> bytes in front of it are free to overwrite.
    /// </summary>
    public int Offset;

    /// <summary>Bytes from the Ethernet header to the end, without FCS.</summary>
    public int Length;
}

/// <summary>
/// Frames read from a device in one go, packed one behind the other with room for a tunnel header before each, so that small
/// packets and their tunnel headers form one contiguous run. The device fills it, the egress path reads it; the bytes are valid until
/// <see cref="Clear"/>.
/// </summary>
public sealed class FrameBatch
{
    /// <summary>Most bytes a frame may have: a 65,535-byte IP packet behind an Ethernet header with two VLAN tags.</summary>
    public const int MaxFrameLength = 65_535 + 14 + 8;

    private readonly Frame[] _frames;
    private readonly int _superPacketLimit;
    private int _end;

    /// <param name="memory">Where the bytes go.</param>
    /// <param name="headroom">Free bytes before each frame; see <see cref="Headroom"/>.</param>
    /// <param name="capacity">Most frames in a batch.</param>
    /// <param name="superPacketLimit">A batch is full after this many super-packets: more only wait in cache for their turn.</param>
    public FrameBatch(PacketMemory memory, int headroom, int capacity, int superPacketLimit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(memory.Length, headroom + MaxFrameLength);
        Memory = memory;
        Headroom = headroom;
        _superPacketLimit = superPacketLimit;
        _frames = GC.AllocateArray<Frame>(capacity, pinned: true);
    }

    public PacketMemory Memory { get; }

    /// <summary>
    /// Free bytes before each frame. Just what the tunnel header takes makes small packets contiguous. May be changed while the batch is
    /// empty, within what the memory was made for.
    /// </summary>
    public int Headroom
    {
        get;
        set
        {
            if (Count > 0) throw new InvalidOperationException("the batch is not empty");
            ArgumentOutOfRangeException.ThrowIfLessThan(Memory.Length, value + MaxFrameLength);
            field = value;
        }
    }

    public int Count { get; private set; }

    /// <summary>Super-packets among the frames.</summary>
    public int SuperPackets { get; private set; }

    public ReadOnlySpan<Frame> Frames => _frames.AsSpan(0, Count);

    /// <summary>True when no further frame of any size can be read into the batch.</summary>
    public bool IsFull => Count == _frames.Length || SuperPackets == _superPacketLimit || Memory.Length - _end < Headroom + MaxFrameLength;

    /// <summary>
    /// For the device: the slot of the next frame. Its <see cref="Frame.Offset"/> is set; <see cref="MaxFrameLength"/> bytes are free
    /// there.
    /// </summary>
    public ref Frame Next()
    {
        ref Frame frame = ref _frames[Count];
        frame.Offset = _end + Headroom;
        return ref frame;
    }

    /// <summary>For the device: takes the frame that was written to the slot of <see cref="Next"/>.</summary>
    public void Commit(int length)
    {
        ref Frame frame = ref _frames[Count++];
        frame.Length = length;
        _end = frame.Offset + length;
        if (frame.Offload.GsoType != VirtioGsoType.None) SuperPackets++;
    }

    public void Clear() => Count = SuperPackets = _end = 0;
}
