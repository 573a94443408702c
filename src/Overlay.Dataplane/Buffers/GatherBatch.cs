using System.Runtime.InteropServices;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Offload;

namespace Overlay.Dataplane.Buffers;

/// <summary>
/// A frame to be written to a device, gathered from slices: headers and first payload, then the payloads of the packets coalesced into it.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public struct GatheredFrame
{
    /// <summary>First, so that the kernel can read it in place.</summary>
    public VirtioNetHeader Offload;

    public int FirstSlice;
    public int SliceCount;

    /// <summary>Packets carried, for accounting: more than one in a super-packet.</summary>
    public int Packets;

    /// <summary>Bytes of all slices together.</summary>
    public int Length;

    /// <summary>Set by the device on each frame it was given: the frame is lost.</summary>
    public bool Refused;
}

/// <summary>
/// Frames for a device, in order. The ingress path fills it, the device writes it out; the slices' owner keeps them until then.
/// </summary>
public sealed class GatherBatch(int frameCapacity, int sliceCapacity)
{
    private readonly GatheredFrame[] _frames = GC.AllocateArray<GatheredFrame>(frameCapacity, pinned: true);
    private readonly Peer?[] _origins = new Peer?[frameCapacity];
    private readonly BufferSlice[] _slices = GC.AllocateArray<BufferSlice>(sliceCapacity, pinned: true);
    private int _sliceCount;

    public int Count { get; private set; }

    public Span<GatheredFrame> Frames => _frames.AsSpan(0, Count);

    public ReadOnlySpan<BufferSlice> Slices(in GatheredFrame frame) => _slices.AsSpan(frame.FirstSlice, frame.SliceCount);

    /// <summary>Whose packets a frame carries; null: not said.</summary>
    public Peer? Origin(int index) => _origins[index];

    /// <summary>True when a further frame of <paramref name="slices"/> slices fits.</summary>
    public bool Fits(int slices) => Count < _frames.Length && _slices.Length - _sliceCount >= slices;

    /// <summary>Appends a frame; the caller has asked <see cref="Fits"/>.</summary>
    public void Add(in VirtioNetHeader offload, ReadOnlySpan<BufferSlice> slices, int length, int packets = 1, Peer? origin = null)
    {
        _origins[Count] = origin;
        slices.CopyTo(_slices.AsSpan(_sliceCount));
        ref GatheredFrame frame = ref _frames[Count++];
        frame.Offload = offload;
        frame.FirstSlice = _sliceCount;
        frame.SliceCount = slices.Length;
        frame.Packets = packets;
        frame.Length = length;
        frame.Refused = false;
        _sliceCount += slices.Length;
    }

    public void Clear() => Count = _sliceCount = 0;
}
