using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Buffers;

/// <summary>A run of bytes for the kernel to gather. Laid out as <c>struct iovec</c>.</summary>
/// <param name="Address">Address inside a <see cref="PacketMemory"/>.</param>
/// <param name="Length">Bytes.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct BufferSlice(nint Address, nint Length);
