namespace Overlay.Dataplane.Mtu;

/// <summary>
/// What is known of the way to a peer: how large a packet it carries, and whether it leads out at all. One object a peer, shared by all snapshots and threads; written by the
/// agent, read once a packet.
/// </summary>
public sealed class PeerPath
{
    /// <summary>Nothing is known: nothing is too big.</summary>
    public const int Unlimited = int.MaxValue;

    private readonly Lock _lock = new();
    private volatile int _mtu = Unlimited;
    private int _link = Unlimited;
    private int _found = Unlimited;
    private volatile bool _leadsBack;
    private volatile int _offered;
    private volatile int _offers;
    private volatile PathReport _report = PathReport.None;
    private volatile RepeatWatch? _repeats;

    /// <summary>Path MTU in force, the lesser of <see cref="LinkMtu"/> and <see cref="FoundMtu"/>: most bytes of an outer IP packet.</summary>
    public int Mtu => _mtu;

    /// <summary>What this host's interfaces and routes to the peer allow.</summary>
    public int LinkMtu
    {
        get => Volatile.Read(ref _link);
        set => Set(ref _link, value);
    }

    /// <summary>What probes or other evidence found beyond this host; <see cref="Unlimited"/> where that is nothing.</summary>
    public int FoundMtu
    {
        get => Volatile.Read(ref _found);
        set => Set(ref _found, value);
    }

    /// <summary>The host's route to the peer leads into one of our own devices: what is sent there would be sent again without end.</summary>
    public bool LeadsBack
    {
        get => _leadsBack;
        set => _leadsBack = value;
    }

    /// <summary>How it is known; for the status.</summary>
    public PathReport Report
    {
        get => _report;
        set => _report = value;
    }

    /// <summary>Where workers note TCP segments that are sent again and again; null while probes tell more.</summary>
    public RepeatWatch? Repeats
    {
        get => _repeats;
        set => _repeats = value;
    }

    /// <summary>Notes what MSS somebody behind the peer offers, as the size of the outer packet that such a segment makes. For workers.</summary>
    internal void NoteOffer(int outerSize)
    {
        if (outerSize > _offered) _offered = outerSize;
        _offers = Math.Min(_offers + 1, 1 << 20);
    }

    /// <summary>Takes what was noted since the last call: the largest, and of how many.</summary>
    public (int OuterSize, int Count) TakeOffers()
    {
        (int size, int count) = (_offered, _offers);
        _offered = _offers = 0;
        return (size, count);
    }

    private void Set(ref int field, int value)
    {
        lock (_lock)
        {
            Volatile.Write(ref field, value);
            _mtu = Math.Min(_link, _found);
        }
    }
}
