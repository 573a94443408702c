using Overlay.Dataplane.Observation;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Observation;

public sealed class CaptureQueueTests
{
    [Fact]
    public void TryReserve_ReaderThatPauses_LosesTheNewestAndCountsThem()
    {
        var queue = new CaptureQueue(new CaptureFilter(), snapLength: 100, records: 4, bytes: 1000);
        for (byte i = 0; i < 7; i++) Put(queue, i, 50);
        Assert.Equal((3, 0), (queue.LostInner, queue.LostOuter));
        Assert.Equal([0, 1, 2, 3], Take(queue).Select(bytes => (int)bytes[0]));
        Put(queue, 9, 50);
        Assert.Equal([9], Take(queue).Select(bytes => (int)bytes[0]));
    }

    [Fact]
    public void TryReserve_MoreThanTheSnapLength_KeepsTheStart()
    {
        var queue = new CaptureQueue(new CaptureFilter(), snapLength: 10, records: 4, bytes: 100);
        Put(queue, 1, 50);
        Assert.True(queue.TryPeek(out PacketRecord record, out ReadOnlySpan<byte> bytes));
        Assert.Equal((50, 10, 10), (record.Length, record.Kept, bytes.Length));
    }

    [Fact]
    public void Commit_AnyLengthsAndAnyPaceOfReading_GivesTheSamePacketsInOrder() => Seeded.Check(300, random =>
    {
        var queue = new CaptureQueue(new CaptureFilter(), snapLength: 200, records: random.Next(1, 20), bytes: random.Next(201, 700));
        var expected = new Queue<(byte Fill, int Length)>();
        long lost = 0;
        for (int step = 0; step < 400; step++)
        {
            if (random.Next(2) == 0)
            {
                (byte fill, int length) = ((byte)random.Next(256), random.Next(0, 260));
                if (Put(queue, fill, length)) expected.Enqueue((fill, Math.Min(length, 200)));
                else lost++;
            }
            else if (queue.TryPeek(out PacketRecord record, out ReadOnlySpan<byte> bytes))
            {
                (byte fill, int length) = expected.Dequeue();
                Assert.Equal(length, record.Kept);
                Assert.True(bytes.Length == length && bytes.IndexOfAnyExcept(fill) < 0);
                queue.Release();
            }
            else
            {
                Assert.Empty(expected);
            }
        }
        Assert.Equal(lost, queue.LostInner);
    });

    [Fact]
    public void Abandon_ReservedPacket_LeavesNothing()
    {
        var queue = new CaptureQueue(new CaptureFilter(), snapLength: 100, records: 4, bytes: 1000);
        Assert.True(queue.TryReserve(50, ObservedAt.Inner, out _));
        queue.Abandon();
        Assert.False(queue.TryPeek(out _, out _));
    }

    private static bool Put(CaptureQueue queue, byte fill, int length)
    {
        if (!queue.TryReserve(length, ObservedAt.Inner, out Span<byte> room)) return false;
        room.Fill(fill);
        queue.Commit(new PacketRecord { Length = length });
        return true;
    }

    private static List<byte[]> Take(CaptureQueue queue)
    {
        var taken = new List<byte[]>();
        while (queue.TryPeek(out _, out ReadOnlySpan<byte> bytes))
        {
            taken.Add(bytes.ToArray());
            queue.Release();
        }
        return taken;
    }
}
