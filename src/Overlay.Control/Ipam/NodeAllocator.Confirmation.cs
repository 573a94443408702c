using System.Globalization;
using System.Net;

namespace Overlay.Control.Ipam;

/// <summary>How long leased blocks are certainly this node's.</summary>
public sealed partial class NodeAllocator
{
    /// <summary>When controllers last said that the blocks are this node's, and for how long; null: not since the host booted.</summary>
    private (long At, int Seconds)? _confirmed;
    private bool _isConfirmationWritten;

    /// <summary>The clock by which addresses cool down and blocks are confirmed.</summary>
    public BootClock Clock => _clock;

    /// <summary>Why no address is handed out, though blocks are here; null: that is not so.</summary>
    public string? Doubt
    {
        get
        {
            lock (_lock) return DoubtOf(_book.Blocks);
        }
    }

    /// <summary>
    /// Controllers said that this node's blocks, as they are here now, are its own. It outlives this process, and no boot of the host: nobody knows how long that took.
    /// </summary>
    /// <param name="at">When they were asked, by <see cref="Clock"/> in milliseconds: they give nothing away for so long after that.</param>
    /// <param name="seconds">For how long; 0: they said that it is another's.</param>
    /// <exception cref="JournalException">The journal cannot be written; this process goes by it nevertheless.</exception>
    public void ConfirmBlocks(long at, int seconds)
    {
        lock (_lock)
        {
            if (_confirmed is { } last && (at < last.At || (at == last.At && _isConfirmationWritten))) return;
            _confirmed = (at, seconds);
            _isConfirmationWritten = false;
            // Nothing waits for the disk: after a crash of the host it counts no more.
            _journal.Append(ConfirmedRecord(at, seconds));
            _isConfirmationWritten = true;
            if (_journal.Length > CompactAt) _wake.Set();
        }
    }

    private JournalRecord ConfirmedRecord(long at, int seconds) => new(JournalKind.Confirmed) { Boot = _clock.Boot, At = at, Seconds = seconds };

    /// <summary>All that the journal is to hold.</summary>
    private IReadOnlyCollection<JournalRecord> Records() => _confirmed is var (at, seconds) ? [.. _book.Records(), ConfirmedRecord(at, seconds)] : [.. _book.Records()];

    /// <returns>The last confirmation of this boot; null: there is none.</returns>
    private (long At, int Seconds)? FindConfirmation(IEnumerable<JournalRecord> records)
    {
        JournalRecord? last = records.LastOrDefault(record => record.Kind == JournalKind.Confirmed);
        // A clock that is behind what was written is none to go by.
        return last is not null && last.Boot == _clock.Boot && last.At <= _clock.Milliseconds ? (last.At, last.Seconds) : null;
    }

    /// <param name="blocks">Of which an address would be handed out.</param>
    private string? DoubtOf(IEnumerable<HeldBlock> blocks)
    {
        if (!_options.IsLeased) return null;
        long? since = _confirmed is { } last ? _clock.Milliseconds - last.At : null;
        if (since is >= 0 && since < _confirmed!.Value.Seconds * 1000L) return null;
        IPNetwork[] doubtful = [.. blocks.Where(block => !block.IsReturning).Select(block => block.Prefix)];
        if (doubtful.Length == 0) return null;
        string silence = since is { } milliseconds
            ? _confirmed!.Value.Seconds == 0 ? "the controllers take another machine for this node, which may have its blocks"
            : string.Create(CultureInfo.InvariantCulture, $"no controller has confirmed this node's blocks for {milliseconds / 1000} s, and after {_confirmed!.Value.Seconds} s others may get them")
            : "no controller has confirmed this node's blocks since the host booted, and others may have got them meanwhile";
        return $"{silence}: no new address of {string.Join(", ", doubtful)} is handed out until a controller is reached; pods that run go on";
    }
}
