using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Devices;
using Overlay.Dataplane.Offload;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Tap;

/// <summary>
/// One queue of a TAP device. One worker thread uses it; it is valid until its <see cref="TapDevice"/> is disposed. The descriptor is
/// non-blocking: a TAP write could otherwise wait for its send buffer, and every kernel knows O_NONBLOCK where RWF_NOWAIT is newer.
/// </summary>
public sealed unsafe class TapQueue : IFrameDevice
{
    private readonly FileDescriptor _descriptor;
    private readonly string _name;
    private readonly BufferSlice[] _vector = GC.AllocateArray<BufferSlice>(Files.UIO_MAXIOV, pinned: true);

    internal TapQueue(FileDescriptor descriptor, string name)
    {
        _descriptor = descriptor;
        _name = name;
    }

    /// <summary>For polling.</summary>
    public int FileDescriptor => _descriptor.Number;

    /// <inheritdoc/>
    /// <exception cref="LinuxException">The device is gone.</exception>
    public int Read(FrameBatch batch)
    {
        int before = batch.Count;
        BufferSlice* vector = stackalloc BufferSlice[2];
        while (!batch.IsFull)
        {
            ref Frame frame = ref batch.Next();
            vector[0] = new BufferSlice((nint)Unsafe.AsPointer(ref frame.Offload), VirtioNetHeader.Size);
            vector[1] = batch.Memory.Slice(frame.Offset, FrameBatch.MaxFrameLength);
            nint length = Libc.ReadVector(FileDescriptor, vector, 2);
            if (length < 0)
            {
                int errno = Marshal.GetLastSystemError();
                if (errno == Errno.EINTR) continue;
                if (errno == Errno.EAGAIN) break;
                throw new LinuxException($"readv {_name}", errno);
            }
            batch.Commit((int)length - VirtioNetHeader.Size);
        }
        return batch.Count - before;
    }

    /// <inheritdoc/>
    public int Write(GatherBatch batch)
    {
        int taken = 0;
        foreach (ref GatheredFrame frame in batch.Frames)
        {
            ReadOnlySpan<BufferSlice> slices = batch.Slices(frame);
            if (slices.Length >= _vector.Length)
            {
                frame.Refused = true;
                continue;
            }
            _vector[0] = new BufferSlice((nint)Unsafe.AsPointer(ref frame.Offload), VirtioNetHeader.Size);
            slices.CopyTo(_vector.AsSpan(1));
            fixed (BufferSlice* vector = _vector)
            {
                frame.Refused = Libc.WriteVector(FileDescriptor, vector, slices.Length + 1) < 0;
            }
            if (!frame.Refused) taken++;
        }
        return taken;
    }

    internal void Close() => _descriptor.Dispose();
}
