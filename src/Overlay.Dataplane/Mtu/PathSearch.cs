namespace Overlay.Dataplane.Mtu;

/// <summary>A probe that is to be sent.</summary>
/// <param name="Size">Bytes of the outer IP packet.</param>
/// <param name="Token">Comes back in the answer.</param>
public readonly record struct ProbeRequest(int Size, ulong Token);

/// <summary>
/// Finds the largest packet that the path to one peer carries, by the rules of RFC 8899 (datagram packetization layer path MTU discovery):
/// sizes are confirmed by answered probes only, an ICMP error is no more than an occasion to look again, and what was found is confirmed and
/// tried to be raised. Several sizes are tried at once, so that a path is known after a few round trips. Time is the caller's, in
/// milliseconds; one thread uses it.
/// </summary>
/// <param name="least">Smallest size that is tried: <see cref="LeastIpv4"/> or <see cref="LeastIpv6"/>.</param>
/// <param name="timers">When things happen.</param>
/// <param name="tokens">Where unguessable tokens come from.</param>
public sealed class PathSearch(int least, PathTimers timers, Func<ulong> tokens)
{
    /// <summary>The smallest size that is tried over IPv4: what every host takes (RFC 791, 3.1).</summary>
    public const int LeastIpv4 = 576;

    /// <summary>The smallest size that is tried over IPv6 (RFC 8200, 5).</summary>
    public const int LeastIpv6 = 1280;

    /// <summary>Probes of one size that are lost before it counts as too big (MAX_PROBES).</summary>
    private const int MostTries = 3;

    /// <summary>Probes whose answers are still known, however late they come.</summary>
    private const int Remembered = 128;

    private const double Never = double.PositiveInfinity;

    private readonly (int Size, ulong Token, double Sent)[] _sent = new (int, ulong, double)[Remembered];
    private readonly int[] _sizes = new int[ProbeSizes.Most];
    private int _nextSent;
    private int _count;
    private int _tries;
    private double _deadline;
    private bool _begun;

    // The search under way: _low passes, or is 0; nothing above _high is in question.
    private int _low;
    private int _high;
    private bool _confirming;
    private double _since;

    private int _link = PeerPath.Unlimited;
    private int _found = PeerPath.Unlimited;
    private PathEvidence _evidence;
    private double _evidenceEnds = Never;

    // The least MTU that ICMP errors told of since a search began, and before; 0: none did.
    private int _told;
    private int _toldBefore;

    private int _hint;
    private double _heeded = -1;
    private double _silentSince = Never;
    private double _next;
    private double _raiseAt = Never;
    private double? _roundTrip;
    private long _probes;
    private long _answers;

    public PathState State { get; private set; } = PathState.Base;

    /// <summary>What was found: most bytes of an outer packet; <see cref="PeerPath.Unlimited"/> where nothing less than the link's MTU was.</summary>
    public int FoundMtu => _found >= _link ? PeerPath.Unlimited : _found;

    /// <summary>Packets that the link allows are lost, and no ICMP error says so.</summary>
    public bool IsBlackHole => _found < _link && State switch
    {
        PathState.Complete or PathState.Searching => _evidence == PathEvidence.Probes && _told != _found && _toldBefore != _found,
        PathState.Unanswered => _evidence == PathEvidence.TcpRepeats,
        _ => false,
    };

    public PathReport Report => new(State, FoundMtu == PeerPath.Unlimited ? EvidenceOfLink : _evidence, IsBlackHole, _roundTrip, _probes, _answers);

    /// <summary>True while probes of a search are out: how many peers are searched at a time is the caller's business.</summary>
    public bool IsSearching => _count > 0 && !_confirming;

    private PathEvidence EvidenceOfLink => State == PathState.Complete ? PathEvidence.Probes : PathEvidence.Link;

    /// <summary>Takes what this host's interfaces and routes allow; another value than before begins a search.</summary>
    public void SetLink(int mtu, double now)
    {
        if (mtu == _link) return;
        _link = mtu;
        // A smaller one holds at once, a larger one as long as nothing speaks against it: that is what the operator said.
        if (_evidence == PathEvidence.Probes) Forget();
        Restart(now);
    }

    /// <summary>A probe was answered.</summary>
    /// <param name="token">Of the answer.</param>
    /// <param name="arrived">Bytes of the outer IP packet as the peer received it; another size than was sent proves nothing.</param>
    /// <param name="now">When it came.</param>
    public void Answered(ulong token, int arrived, double now)
    {
        int index = Array.FindIndex(_sent, each => each.Size != 0 && each.Size == arrived && each.Token == token);
        if (index < 0) return;
        (int size, _, double sent) = _sent[index];
        _sent[index] = default;
        _answers++;
        _silentSince = Never;
        double sample = Math.Max(now - sent, 0);
        // A first sample that was long for another reason is soon outweighed.
        _roundTrip = _roundTrip is { } smoothed ? smoothed + ((sample - smoothed) * (sample < smoothed ? 0.5 : 0.125)) : sample;
        if (State is PathState.Unanswered or PathState.Error) Restart(now);
        if (State == PathState.Base) State = PathState.Searching;
        if (_count == 0)
        {
            // Late, of a search that ended without it.
            if (size > _found && size <= _link) BeginRaise(now);
            return;
        }
        _low = Math.Max(_low, size);
        _high = Math.Max(_high, _low);
        if (_sizes[_count - 1] <= _low) EndRound(now);
        else _deadline = Math.Min(_deadline, now + Wait);
    }

    /// <summary>A probe of the peer's arrived: it answers probes too, and what passes one way often passes the other.</summary>
    /// <param name="size">Bytes of its outer IP packet.</param>
    /// <param name="now">When it came.</param>
    public void Heard(int size, double now)
    {
        if (!timers.Probes) return;
        if (State is PathState.Unanswered or PathState.Error)
        {
            if (_count == 0 && Heeds(now)) Restart(now);
            return;
        }
        // It has only just started, and what was sent before came too early: all tries anew.
        if (State == PathState.Base && _begun && _low == 0 && Heeds(now)) (_tries, _deadline) = (0, now);
        if (State != PathState.Complete || _count > 0 || size <= _hint || size <= _found || _found >= _link || !Heeds(now)) return;
        _hint = size;
        BeginRaise(now);
    }

    /// <summary>An ICMP error that is credible told of an MTU on the way.</summary>
    /// <param name="mtu">What it says; 0: nothing (RFC 1191, 5).</param>
    /// <param name="quoted">Bytes of the packet that it is about; 0: not known.</param>
    /// <param name="now">When it came.</param>
    public void TooBig(int mtu, int quoted, double now)
    {
        if (mtu == 0) mtu = ProbeSizes.Below(quoted);
        mtu = Math.Max(mtu, least);
        if (mtu < Math.Min(_link, _found))
        {
            if (State == PathState.Unanswered) Believe(mtu, PathEvidence.Icmp, now);
            else if (State == PathState.Complete && Heeds(now)) BeginSearch(0, _link, now);
        }
        // Of several hops that are narrower than the link each tells its own.
        _told = _told == 0 ? mtu : Math.Min(_told, mtu);
    }

    /// <summary>Several TCP connections from behind the peer offered segments that make packets of no more than this.</summary>
    /// <param name="size">Bytes of the outer IP packet.</param>
    /// <param name="now">When the last did.</param>
    public void Offered(int size, double now)
    {
        if (State == PathState.Unanswered && size >= least && size < Math.Min(_link, _found)) Believe(size, PathEvidence.TcpMss, now);
    }

    /// <summary>TCP segments were lost until they were cut to <see cref="RepeatWatch.Smaller"/>.</summary>
    /// <param name="size">Bytes of the outer IP packets that were lost.</param>
    /// <param name="now">When that was found out.</param>
    public void Lost(int size, double now)
    {
        if (State == PathState.Unanswered && RepeatWatch.Smaller < size && RepeatWatch.Smaller < Math.Min(_link, _found))
            Believe(RepeatWatch.Smaller, PathEvidence.TcpRepeats, now);
    }

    /// <summary>Does what is due.</summary>
    /// <param name="now">Never less than before.</param>
    /// <param name="isActive">Packets were sent to the peer lately.</param>
    /// <param name="maySearch">False: a search that would begin now waits.</param>
    /// <param name="probes">Gets what is to be sent now.</param>
    /// <returns>When something is due again, unless something happens before.</returns>
    public double Advance(double now, bool isActive, bool maySearch, List<ProbeRequest> probes)
    {
        if (now >= _evidenceEnds) Forget();
        if (_count > 0)
        {
            if (!_begun && !_confirming && !maySearch) return now + timers.LeastWait;
            if (now >= _deadline)
            {
                if (_tries < MostTries && !(_confirming && _tries > 0)) SendRound(now, probes);
                else EndRound(now);
                if (_count > 0 && _tries == 0) SendRound(now, probes);
            }
            if (_count > 0) return _deadline;
        }
        if (!timers.Probes)
        {
            State = PathState.Unanswered;
            return _evidenceEnds;
        }
        double confirmAt = isActive ? _next : _next - timers.Confirm + timers.ConfirmIdle;
        double raiseAt = _found < _link ? _raiseAt : Never;
        switch (State)
        {
            case PathState.Complete when now >= raiseAt:
                BeginRaise(now);
                break;
            case PathState.Complete when now >= confirmAt:
                BeginConfirm(now);
                break;
            case PathState.Complete:
                return Math.Min(confirmAt, raiseAt);
            case PathState.Base:
                BeginSearch(0, _link, now);
                break;
            default:
                if (now < _next) return Math.Min(_next, _evidenceEnds);
                BeginSearch(0, Math.Min(_link, least), now);
                break;
        }
        if (!_confirming && !maySearch) return now + timers.LeastWait;
        SendRound(now, probes);
        return _deadline;
    }

    private double Wait => _roundTrip is { } time ? Math.Max(timers.LeastWait, 2 * time) : timers.FirstWait;

    private bool Heeds(double now)
    {
        if (_heeded >= 0 && now - _heeded < timers.Heed) return false;
        _heeded = now;
        return true;
    }

    private void Believe(int mtu, PathEvidence evidence, double now)
    {
        _found = mtu;
        _evidence = evidence;
        _evidenceEnds = now + timers.Raise;
    }

    private void Forget()
    {
        _found = PeerPath.Unlimited;
        _evidence = PathEvidence.Link;
        _evidenceEnds = Never;
        _told = _toldBefore = 0;
    }

    private void Restart(double now)
    {
        if (!timers.Probes) return;
        State = PathState.Base;
        BeginSearch(0, _link, now);
    }

    private void BeginSearch(int low, int high, double now)
    {
        _confirming = false;
        _since = now;
        _hint = 0;
        if (_told != 0) (_toldBefore, _told) = (_told, 0);
        Begin(low, high, now, ProbeSizes.Ladder(Math.Max(low, least - 1), high, _sizes));
    }

    /// <summary>Tries all sizes again; what is known stays in force meanwhile.</summary>
    private void BeginRaise(double now)
    {
        int hint = _hint;
        BeginSearch(0, _link, now);
        _hint = hint;
        _raiseAt = now + timers.Raise;
    }

    private void BeginConfirm(double now)
    {
        _confirming = true;
        _sizes[0] = Math.Min(_found, _link);
        Begin(0, _sizes[0], now, 1);
    }

    private void Begin(int low, int high, double now, int count)
    {
        (_low, _high, _count, _tries, _deadline, _begun) = (low, high, count, 0, now, false);
    }

    private void SendRound(double now, List<ProbeRequest> probes)
    {
        _begun = true;
        _tries++;
        _deadline = now + Wait;
        for (int i = 0; i < _count; i++)
        {
            if (_sizes[i] <= _low) continue;
            ulong token = tokens();
            _sent[_nextSent] = (_sizes[i], token, now);
            _nextSent = (_nextSent + 1) % Remembered;
            probes.Add(new ProbeRequest(_sizes[i], token));
            _probes++;
        }
    }

    /// <summary>Every size of the round has passed or counts as lost.</summary>
    private void EndRound(double now)
    {
        if (_low == 0)
        {
            if (_confirming) BeginSearch(0, _link, now);
            else Silent(now);
            return;
        }
        if (_confirming)
        {
            _count = 0;
            _next = now + timers.Confirm;
            return;
        }
        for (int i = 0; i < _count; i++)
        {
            if (_sizes[i] <= _low) continue;
            _high = _sizes[i] - 1;
            break;
        }
        if (_low < _high)
        {
            if (State != PathState.Complete) State = PathState.Searching;
            // Better to say too little for a moment than to lose more: at once where nothing larger has ever passed.
            if (_low < _found && (_evidence == PathEvidence.Link || now - _since > timers.FirstWait * 2)) Take(_low);
            Begin(_low, _high, now, ProbeSizes.Split(_low, _high, _sizes));
            _begun = true;
            return;
        }
        _count = 0;
        Take(_low);
        State = PathState.Complete;
        _next = now + timers.Confirm;
        _raiseAt = now + timers.Raise;
    }

    private void Take(int mtu)
    {
        _found = mtu;
        _evidence = PathEvidence.Probes;
        _evidenceEnds = Never;
    }

    /// <summary>Nothing was answered, not even the smallest.</summary>
    private void Silent(double now)
    {
        _count = 0;
        if (_silentSince == Never) _silentSince = now;
        bool wasThere = State is PathState.Complete or PathState.Searching || (State == PathState.Error && now - _silentSince < timers.Forget);
        if (wasThere)
        {
            State = PathState.Error;
            _next = now + Math.Min(timers.AskAgain, Math.Max(timers.Heed, (now - _silentSince) / 2));
            return;
        }
        if (_evidence == PathEvidence.Probes) Forget();
        State = PathState.Unanswered;
        _next = now + timers.AskAgain;
    }
}
