using Overlay.Dataplane.Forwarding;
using Overlay.Wire;

namespace Overlay.Dataplane.Mtu;

/// <summary>A path message as it was received.</summary>
/// <param name="Peer">Who sent it.</param>
/// <param name="Segment">In which it came, and in which an answer goes back.</param>
/// <param name="Size">Bytes that arrived from the tunnel header on, or of IP-in-IP from the inner IP header on.</param>
/// <param name="Echo">What the message says of a size: see <see cref="PathMessage.Size"/>.</param>
public readonly record struct ReceivedPathMessage(Peer Peer, Segment Segment, PathMessageKind Kind, int Size, int Echo, ulong Token);

/// <summary>
/// Hands path messages from one worker to the thread that probes. What does not fit is refused: a flood of them costs the worker nothing
/// but counting.
/// </summary>
/// <param name="wake">Called by the worker when there is something to take after there was nothing.</param>
public sealed class PathInbox(Action wake)
{
    /// <summary>A power of two.</summary>
    private const int Capacity = 512;

    private readonly ReceivedPathMessage[] _messages = new ReceivedPathMessage[Capacity];
    private int _written;
    private int _taken;

    /// <summary>For the worker.</summary>
    /// <returns>False when there is no room.</returns>
    public bool TryPost(in ReceivedPathMessage message)
    {
        int written = _written;
        int waiting = written - Volatile.Read(ref _taken);
        if (waiting == Capacity) return false;
        _messages[written & (Capacity - 1)] = message;
        Volatile.Write(ref _written, written + 1);
        // Seen full of what was there before, the reader may be about to sleep.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _taken) == written) wake();
        return true;
    }

    /// <summary>For the thread that probes. It takes until there is nothing left before it sleeps.</summary>
    public bool TryTake(out ReceivedPathMessage message)
    {
        int taken = _taken;
        if (taken == Volatile.Read(ref _written))
        {
            message = default;
            return false;
        }
        message = _messages[taken & (Capacity - 1)];
        Volatile.Write(ref _taken, taken + 1);
        Interlocked.MemoryBarrier();
        return true;
    }
}
