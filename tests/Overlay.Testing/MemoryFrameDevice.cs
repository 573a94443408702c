using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Devices;
using Overlay.Dataplane.Offload;

namespace Overlay.Testing;

/// <summary>A frame as it lies in a <see cref="MemoryFrameDevice"/>.</summary>
public sealed record MemoryFrame(VirtioNetHeader Offload, byte[] Bytes);

/// <summary>A device in memory: delivers the frames put into <see cref="Incoming"/>, keeps those written to it. Single-threaded.</summary>
public sealed class MemoryFrameDevice : IFrameDevice
{
    /// <summary>What <see cref="Read"/> will deliver.</summary>
    public Queue<MemoryFrame> Incoming { get; } = new();

    /// <summary>What was written, oldest first.</summary>
    public List<MemoryFrame> Written { get; } = [];

    /// <summary>Frames that <see cref="Write"/> still takes; it refuses the rest as a full device does.</summary>
    public int Room { get; set; } = int.MaxValue;

    public void Deliver(byte[] frame, VirtioNetHeader offload = default) => Incoming.Enqueue(new MemoryFrame(offload, frame));

    public int Read(FrameBatch batch)
    {
        int read = 0;
        while (!batch.IsFull && Incoming.TryDequeue(out MemoryFrame? next))
        {
            ref Frame frame = ref batch.Next();
            frame.Offload = next.Offload;
            next.Bytes.CopyTo(batch.Memory.Span(frame.Offset, next.Bytes.Length));
            batch.Commit(next.Bytes.Length);
            read++;
        }
        return read;
    }

    public int Write(GatherBatch batch)
    {
        int written = 0;
        foreach (ref GatheredFrame frame in batch.Frames)
        {
            frame.Refused = Room == 0;
            if (frame.Refused) continue;
            Room--;
            written++;
            Written.Add(new MemoryFrame(frame.Offload, Gather(batch.Slices(frame))));
        }
        return written;
    }

    /// <summary>Copies the bytes that slices stand for, as the kernel would.</summary>
    internal static byte[] Gather(ReadOnlySpan<BufferSlice> slices)
    {
        int length = 0;
        foreach (BufferSlice slice in slices) length += (int)slice.Length;
        byte[] bytes = new byte[length];
        int at = 0;
        foreach (BufferSlice slice in slices)
        {
            Marshal.Copy(slice.Address, bytes, at, (int)slice.Length);
            at += (int)slice.Length;
        }
        return bytes;
    }
}
