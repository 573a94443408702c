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

    /// <summary>Where addresses are asked for faster than windows are written, whoever asks waits for the disk.</summary>
    /// <exception cref="JournalException">The window cannot be written.</exception>
    private (HeldBlock Block, UInt128 Address)? TakeBeyondWindow(string network, bool isIPv6, string owner)
    {
        foreach (HeldBlock block in _book.BlocksOf(network, isIPv6))
        {
            // A whole window may be spared.
            if (block.IsReturning || block.UsableFrom(block.Window) is not { } next) continue;
            Extend(block, next + WindowStep);
            return _book.Take(network, isIPv6, owner, () => _wake.Set());
        }
        return null;
    }

    private void Extend(HeldBlock block, int upTo)
    {
        block.WindowAsked = Math.Min(Math.Max(upTo, block.WindowAsked), block.Size);
        Write(new JournalRecord(JournalKind.Window) { Block = block.Prefix.ToString(), UpTo = block.WindowAsked });
        _journal.Flush();
        block.Window = block.WindowAsked;
    }

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
            if (_failure is not null || Length > CompactAt) _journal.Replace(_lock, () => [.. _book.Records()]);
            var windows = new List<HeldBlock>();
            lock (_lock)
            {
                foreach (HeldBlock block in _book.Blocks)
                {
                    if (block.Window >= block.Size || block.Window - block.Next >= WindowStep / 2) continue;
                    block.WindowAsked = Math.Min(block.Window + WindowStep, block.Size);
                    Write(new JournalRecord(JournalKind.Window) { Block = block.Prefix.ToString(), UpTo = block.WindowAsked });
                    windows.Add(block);
                }
                if (!_dirty && _failure is null) return;
                _dirty = false;
            }
            _journal.Flush();
            lock (_lock)
            {
                _failure = null;
                foreach (HeldBlock block in windows) block.Window = block.WindowAsked;
            }
        }
        catch (JournalException error)
        {
            // Allocations are refused, with this reason, until the disk takes it.
            _failure = error;
        }
    }
}
