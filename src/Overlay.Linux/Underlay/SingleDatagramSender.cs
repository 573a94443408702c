using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Underlay;

/// <summary>Sends a train as one message a datagram, where the kernel does not cut it.</summary>
internal sealed unsafe class SingleDatagramSender
{
    private const int MessageCapacity = 64;
    private const int SliceCapacity = 512;

    private readonly MMsgHdr[] _messages = GC.AllocateArray<MMsgHdr>(MessageCapacity, pinned: true);
    private readonly BufferSlice[] _slices = GC.AllocateArray<BufferSlice>(SliceCapacity, pinned: true);

    /// <param name="descriptor">Socket to send from.</param>
    /// <param name="header">Destination and control messages of every datagram; its vector is not used.</param>
    /// <param name="segmentSize">Bytes of each datagram; the last may be shorter.</param>
    /// <param name="slices">The train's bytes.</param>
    /// <param name="prefix">Bytes in front of each datagram; empty for none.</param>
    /// <returns>What became of the first datagram that was refused, and with it the rest of the train; or <see cref="SendOutcome.Sent"/>.</returns>
    public SendOutcome Send(int descriptor, in MsgHdr header, int segmentSize, ReadOnlySpan<BufferSlice> slices, BufferSlice prefix = default)
    {
        int messages = 0;
        int used = 0;
        int room = 0;
        for (int i = 0; i < slices.Length; i++)
        {
            nint address = slices[i].Address;
            nint left = slices[i].Length;
            while (left > 0)
            {
                if (room == 0)
                {
                    // A datagram never has more slices than are still to come, one for its start in this slice included, and its prefix.
                    if (messages == MessageCapacity || used + 1 + slices.Length - i > SliceCapacity)
                    {
                        SendOutcome outcome = Flush(descriptor, messages);
                        if (outcome != SendOutcome.Sent) return outcome;
                        messages = used = 0;
                    }
                    ref MMsgHdr next = ref _messages[messages++];
                    next.msg_hdr = header;
                    next.msg_hdr.msg_iov = Marshal.UnsafeAddrOfPinnedArrayElement(_slices, used);
                    next.msg_hdr.msg_iovlen = 0;
                    if (prefix.Length > 0)
                    {
                        _slices[used++] = prefix;
                        next.msg_hdr.msg_iovlen = 1;
                    }
                    room = segmentSize;
                }
                nint length = Math.Min(left, room);
                _slices[used++] = new BufferSlice(address, length);
                _messages[messages - 1].msg_hdr.msg_iovlen++;
                address += length;
                left -= length;
                room -= (int)length;
            }
        }
        return Flush(descriptor, messages);
    }

    private SendOutcome Flush(int descriptor, int count)
    {
        int sent = 0;
        while (sent < count)
        {
            int result;
            fixed (MMsgHdr* messages = _messages)
            {
                result = Libc.SendMessages(descriptor, messages + sent, (uint)(count - sent), Sockets.MSG_DONTWAIT);
            }
            if (result < 0)
            {
                int errno = Marshal.GetLastSystemError();
                if (errno == Errno.EINTR) continue;
                return UdpSender.Outcome(errno);
            }
            sent += result;
        }
        return SendOutcome.Sent;
    }
}
