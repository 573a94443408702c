namespace Overlay.Control.Ipam;

/// <summary>How what is handed out gets onto the disk.</summary>
public sealed partial class NodeAllocator
{
    private const int WindowStep = 32;
    private const long CompactAt = 4 << 20;

    private static readonly TimeSpan FlushInterval = TimeSpan.FromMilliseconds(5);

    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);

    private readonly AutoResetEvent _wake = new(false);
    private readonly Thread _flusher;
    private volatile bool _stopping;
    private bool _dirty;
    private volatile JournalException? _failure;

    /// <summary>A window in the journal that counts when the journal is on the disk.</summary>
    private readonly record struct WrittenWindow(HeldBlock Block, int UpTo);

    private long Length
    {
        get
        {
            lock (_lock) return _journal.Length;
        }
    }

    private void Write(JournalRecord record)
    {
        _journal.Append(record);
        _dirty = true;
        _wake.Set();
    }

    /// <summary>On a disk that is full the mark comes with the journal that is written anew when there is room; until then nothing is handed out.</summary>
    private void MarkBoot()
    {
        try
        {
            Write(_book.BootRecord());
        }
        catch (JournalException error)
        {
            _failure = error;
        }
    }

    /// <summary>Writes the window that a burst is about to need; null where no block has more.</summary>
    /// <exception cref="JournalException">It cannot be written.</exception>
    private WrittenWindow? WriteNextWindow(string network, bool isIPv6)
    {
        foreach (HeldBlock block in _book.BlocksOf(network, isIPv6))
        {
            // A whole window may be spared.
            if (!block.IsReturning && block.UsableFrom(block.Window) is { } next) return WriteWindow(block, next + WindowStep);
        }
        return null;
    }

    private WrittenWindow WriteWindow(HeldBlock block, int upTo)
    {
        int asked = Math.Min(Math.Max(upTo, block.WindowAsked), block.Size);
        Write(new JournalRecord(JournalKind.Window) { Block = block.Prefix.ToString(), UpTo = asked });
        block.WindowAsked = asked;
        return new WrittenWindow(block, asked);
    }

    /// <summary>Waits until what was written is on the disk. Not to be called with the lock held.</summary>
    /// <exception cref="JournalException">It cannot be; everything is written anew in the background.</exception>
    private void FlushNow()
    {
        if (_lock.IsHeldByCurrentThread) throw new InvalidOperationException("whoever allocates would wait for the disk too");
        try
        {
            _journal.Flush();
        }
        catch (JournalException error)
        {
            _failure = error;
            _wake.Set();
            throw;
        }
    }

    /// <summary>Has a window count, once it is on the disk.</summary>
    /// <returns>Null when it does.</returns>
    private Allocation? Settle(WrittenWindow written)
    {
        try
        {
            FlushNow();
        }
        catch (JournalException error)
        {
            return new Allocation(AllocationStatus.JournalFailed, null, error.Message);
        }
        lock (_lock) Count(written);
        return null;
    }

    private static void Count(WrittenWindow written) => written.Block.Window = Math.Max(written.Block.Window, written.UpTo);

    private void Flush()
    {
        while (!_stopping)
        {
            _wake.WaitOne(_failure is null ? Timeout.InfiniteTimeSpan : RetryInterval);
            // Those who come within this time share a flush.
            if (!_stopping) Thread.Sleep(FlushInterval);
            FlushOnce();
        }
    }

    private void FlushOnce()
    {
        try
        {
            // A flush that failed may have dropped what it could not write: everything is written anew.
            if (_failure is not null || Length > CompactAt) _journal.Replace(_lock, Records);
            var windows = new List<WrittenWindow>();
            lock (_lock)
            {
                foreach (HeldBlock block in _book.Blocks)
                {
                    if (block.Window >= block.Size || block.Window - block.Next >= WindowStep / 2) continue;
                    // One that is written already counts with this flush too.
                    windows.Add(block.WindowAsked > block.Window ? new WrittenWindow(block, block.WindowAsked) : WriteWindow(block, block.Window + WindowStep));
                }
                if (!_dirty && windows.Count == 0 && _failure is null) return;
                _dirty = false;
            }
            _journal.Flush();
            lock (_lock)
            {
                _failure = null;
                windows.ForEach(Count);
            }
        }
        catch (JournalException error)
        {
            // Allocations are refused, with this reason, until the disk takes it.
            _failure = error;
        }
    }
}
