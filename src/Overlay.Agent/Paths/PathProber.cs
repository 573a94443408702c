using System.Buffers.Binary;
using System.Diagnostics;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Planning;
using Overlay.Agent.Setup;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Mtu;
using Overlay.Dataplane.Observation;
using Overlay.Linux;
using Overlay.Linux.Underlay;
using Overlay.Wire;

namespace Overlay.Agent.Paths;

/// <summary>
/// Finds out how large a packet the path to each peer carries, on a thread of its own: sends probes, answers those of peers, listens for ICMP
/// errors. What it finds is in force at once, through <see cref="PeerPath"/>.
/// </summary>
internal sealed class PathProber : IDisposable
{
    /// <summary>How often traffic and other evidence is looked for.</summary>
    private const double LookMilliseconds = 250;

    private const double OffersMilliseconds = 30_000;

    /// <summary>Fewer connections say little of the peer.</summary>
    private const int LeastOffers = 3;

    /// <summary>Peers that are searched at a time: a start with many is no burst.</summary>
    private const int MostSearches = 64;

    private const int BatchCapacity = 512;

    /// <summary>ICMP errors read at a time.</summary>
    private const int MostErrors = 64;

    private readonly SnapshotSlot _slot;
    private readonly QueueUnderlay _underlay;
    private readonly TooBigListener _listener;
    private readonly PathInbox[] _inboxes;
    private readonly Poller _poller;
    private readonly ILogger _log;
    private readonly Action<Exception> _died;
    private readonly Thread _thread;
    private readonly UInt128 _localV4;
    private readonly UInt128 _localV6;
    private readonly ushort[] _sourcePorts;
    private readonly byte _timeToLive;
    private readonly PacketObserver _observer;
    private readonly PathFrames _udp;
    private readonly PathFrames _raw;
    private readonly Dictionary<PeerPath, ProbedPeer> _peers = [];
    private readonly List<ProbeRequest> _probes = [];
    private ForwardingSnapshot? _snapshot;
    private PathTimers _timers;
    private volatile PathTimers _wantedTimers;
    private int _sourcePort;
    private double _looked = double.NegativeInfinity;
    private double _offersTaken;
    private volatile bool _stop;

    /// <param name="slot">Whose peers are probed; read at every turn.</param>
    /// <param name="plan">For what does not change while the daemon runs, and for the timers.</param>
    /// <param name="underlay">Whose source ports probes leave from.</param>
    /// <param name="observer">Is shown what is sent here.</param>
    /// <param name="log">For paths that change.</param>
    /// <param name="died">Called by the thread when it ends on an error.</param>
    public PathProber(SnapshotSlot slot, NodePlan plan, UnderlayQueues underlay, PacketObserver observer, ILogger log, Action<Exception> died)
    {
        _slot = slot;
        _observer = observer;
        _timeToLive = plan.Underlay.TimeToLive;
        _log = log;
        _died = died;
        _timers = _wantedTimers = TimersOf(plan);
        _localV4 = plan.Underlay.AddressV4 is { } v4 ? IpBits.V6OrMapped(v4) : 0;
        _localV6 = plan.Underlay.AddressV6 is { } v6 ? IpBits.V6OrMapped(v6) : 0;
        byte trafficClass = (byte)(plan.Options.Underlay.TrafficClass.Value ?? 0);
        _udp = new PathFrames(new SendBatch(BatchCapacity, 2 * BatchCapacity), trafficClass);
        _raw = new PathFrames(new SendBatch(BatchCapacity, 2 * BatchCapacity), trafficClass);
        _underlay = underlay.OpenSender(plan);
        try
        {
            _sourcePorts = [.. _underlay.SourcePorts];
            _listener = new TooBigListener(plan.Underlay.Addresses, plan.Underlay.Interface);
        }
        catch
        {
            _underlay.Dispose();
            throw;
        }
        _poller = new Poller([.. _listener.Descriptors]);
        _inboxes = [.. underlay.Queues.Select(_ => new PathInbox(_poller.Wake))];
        _thread = new Thread(Run) { Name = "paths", IsBackground = true };
    }

    /// <summary>By queue: where its worker puts the path messages that arrive.</summary>
    public IReadOnlyList<PathInbox> Inboxes => _inboxes;

    public void Start() => _thread.Start();

    /// <summary>Another snapshot or other timers are in force.</summary>
    public void Changed(NodePlan plan)
    {
        _wantedTimers = TimersOf(plan);
        _poller.Wake();
    }

    public void Dispose()
    {
        _stop = true;
        _poller.Wake();
        if (!_thread.ThreadState.HasFlag(System.Threading.ThreadState.Unstarted) && !_thread.Join(TimeSpan.FromSeconds(10)))
            throw new TimeoutException($"the thread {_thread.Name} did not end within 10 s");
        _poller.Dispose();
        _listener.Dispose();
        _underlay.Dispose();
    }

    private static PathTimers TimersOf(NodePlan plan)
    {
        Configuration.PathMtuOptions options = plan.Options.Underlay.PathMtu;
        double confirm = TimeSpan.FromSeconds(options.ConfirmSeconds.Value).TotalMilliseconds;
        var standard = new PathTimers();
        return standard with
        {
            Probes = options.Probe.Value,
            Confirm = confirm,
            ConfirmIdle = Math.Max(standard.ConfirmIdle, confirm),
            Raise = TimeSpan.FromSeconds(options.RaiseSeconds.Value).TotalMilliseconds,
        };
    }

    private void Run()
    {
        try
        {
            while (!_stop) _poller.Wait(Turn());
        }
        catch (Exception exception)
        {
            // Whatever it is: without it paths would be believed that are no longer so.
            _died(exception);
        }
    }

    /// <returns>Milliseconds until the next turn, unless something arrives before.</returns>
    private int Turn()
    {
        double now = Stopwatch.GetElapsedTime(0).TotalMilliseconds;
        FollowSnapshot(now);
        foreach (PathInbox inbox in _inboxes)
        {
            while (inbox.TryTake(out ReceivedPathMessage message)) Take(message, now);
        }
        for (int i = 0; i < MostErrors && _listener.TryReceive(out ReadOnlySpan<byte> message, out bool isIpv6); i++) TakeError(message, isIpv6, now);
        if (now - _looked >= LookMilliseconds) Look(now);

        int searching = _peers.Values.Count(each => each.Search.IsSearching);
        double next = _looked + LookMilliseconds;
        foreach (ProbedPeer peer in _peers.Values)
        {
            next = Math.Min(next, Advance(peer, now, searching < MostSearches));
            if (_probes.Count > 1) searching++;
        }
        Send();
        return (int)Math.Clamp(Math.Ceiling(next - now), 1, LookMilliseconds);
    }

    private double Advance(ProbedPeer peer, double now, bool maySearch)
    {
        PeerPath path = peer.Peer.Path;
        if (path.LeadsBack) return double.PositiveInfinity;
        peer.Search.SetLink(path.LinkMtu, now);
        _probes.Clear();
        double next = peer.Search.Advance(now, peer.IsActive, maySearch, _probes);
        if (_probes.Count > 0) _sourcePort = (_sourcePort + 1) % _underlay.SourcePorts.Count;
        foreach (ProbeRequest probe in _probes) Add(peer.Peer, peer.Segment, PathMessageKind.Probe, probe.Size, 0, probe.Token);
        Publish(peer);
        return next;
    }

    private void Take(in ReceivedPathMessage message, double now)
    {
        Peer peer = message.Segment.Reach(message.Peer);
        int outer = message.Size + message.Segment.OuterLengthTo(peer);
        _peers.TryGetValue(peer.Path, out ProbedPeer? known);
        if (message.Kind == PathMessageKind.Answer)
        {
            known?.Search.Answered(message.Token, message.Echo + message.Segment.OuterLengthTo(peer), now);
            return;
        }
        Add(peer, message.Segment, PathMessageKind.Answer, 0, message.Size, message.Token);
        known?.Search.Heard(outer, now);
    }

    /// <summary>An ICMP error is heeded when it quotes a packet that this node may have sent to a peer.</summary>
    private void TakeError(ReadOnlySpan<byte> message, bool isIpv6, double now)
    {
        ForwardingSnapshot snapshot = _snapshot!;
        if (!TooBigQuote.TryParse(message, isIpv6, out TooBigQuote quote) || !snapshot.OwnAddresses.Contains(quote.Source)
            || snapshot.Peers.Find(quote.Destination) is not { } peer || !_peers.TryGetValue(peer.Path, out ProbedPeer? known)) return;
        bool isOurs = quote.Protocol == IpProtocols.Udp
            ? _sourcePorts.Contains(quote.SourcePort)
                && snapshot.Segments.Any(segment => !segment.Tunnel.IsIpInIp && segment.Reach(peer).Endpoint.Port == quote.DestinationPort)
            : quote.Protocol is IpProtocols.Ipv4InIp or IpProtocols.Ipv6InIp && snapshot.Segments.Any(segment => segment.Tunnel.IsIpInIp);
        if (isOurs) known.Search.TooBig(quote.Mtu, quote.Length, now);
    }

    private void Look(double now)
    {
        _looked = now;
        bool offers = now - _offersTaken >= OffersMilliseconds;
        if (offers) _offersTaken = now;
        foreach (ProbedPeer peer in _peers.Values)
        {
            peer.LookForTraffic();
            if (peer.Peer.Path.Repeats?.TakeLost() is > 0 and int lost) peer.Search.Lost(lost, now);
            if (offers && peer.Peer.Path.TakeOffers() is { Count: >= LeastOffers } told) peer.Search.Offered(told.OuterSize, now);
        }
    }

    private void FollowSnapshot(double now)
    {
        ForwardingSnapshot snapshot = _slot.Current;
        bool sameTimers = _timers == _wantedTimers;
        if (snapshot == _snapshot && sameTimers) return;
        if (!sameTimers) _peers.Clear();
        _timers = _wantedTimers;
        _snapshot = snapshot;
        HashSet<PeerPath> gone = [.. _peers.Keys];
        foreach (Peer peer in snapshot.Peers.All)
        {
            if (SegmentFor(peer, snapshot) is not { } segment) continue;
            Peer reached = segment.Reach(peer);
            gone.Remove(peer.Path);
            if (_peers.TryGetValue(peer.Path, out ProbedPeer? known))
            {
                known.Follow(reached, segment);
                continue;
            }
            int least = peer.Endpoint.IsIPv4 ? PathSearch.LeastIpv4 : PathSearch.LeastIpv6;
            var search = new PathSearch(least, _timers, () => BinaryPrimitives.ReadUInt64LittleEndian(RandomNumberGenerator.GetBytes(sizeof(ulong))));
            search.SetLink(peer.Path.LinkMtu, now);
            _peers.Add(peer.Path, new ProbedPeer(reached, segment, search));
        }
        foreach (PeerPath path in gone) _peers.Remove(path);
    }

    /// <summary>A segment that both are likely to have.</summary>
    /// <returns>Null where there is no segment.</returns>
    private static Segment? SegmentFor(Peer peer, ForwardingSnapshot snapshot) =>
        Array.Find(snapshot.Segments, segment => segment.Peers.Any(each => each.Name == peer.Name))
        ?? Array.Find(snapshot.Segments, segment => segment.Bridge is not null) ?? snapshot.Segments.FirstOrDefault();

    private void Add(Peer peer, Segment segment, PathMessageKind kind, int size, int echo, ulong token)
    {
        PathFrames frames = segment.Tunnel.IsIpInIp ? _raw : _udp;
        UInt128 local = peer.Endpoint.IsIPv4 ? _localV4 : _localV6;
        if (frames.TryAdd(peer, segment, local, kind, size, echo, token, _sourcePort)) return;
        Send();
        frames.TryAdd(peer, segment, local, kind, size, echo, token, _sourcePort);
    }

    private void Send()
    {
        Send(_udp);
        Send(_raw);
    }

    private void Send(PathFrames frames)
    {
        if (frames.Batch.Count == 0) return;
        // What is not sent is not answered, which tells as much.
        _underlay.Send(frames.Batch);
        frames.ShowTo(_observer, _sourcePorts, _timeToLive);
        frames.Clear();
    }

    private void Publish(ProbedPeer peer)
    {
        PeerPath path = peer.Peer.Path;
        PathReport before = path.Report;
        PathReport report = peer.Search.Report;
        if (peer.Search.FoundMtu != path.FoundMtu) path.FoundMtu = peer.Search.FoundMtu;
        if (report == before) return;
        path.Report = report;
        path.Repeats = report.State == PathState.Unanswered ? path.Repeats ?? new RepeatWatch() : null;
        if (report.State == PathState.Error && before.State != PathState.Error)
            _log.LogWarning("peer {Peer} ({Endpoint}) no longer answers: nothing gets through, or its daemon is down", peer.Peer.Name, peer.Peer.Endpoint);
        if (report.State is not (PathState.Complete or PathState.Unanswered)) return;
        (int, bool) found = (path.Mtu < path.LinkMtu ? path.Mtu : 0, report.IsBlackHole);
        if (found == peer.Told) return;
        peer.Told = found;
        if (report.IsBlackHole)
        {
            _log.LogWarning(
                "black hole on the way to peer {Peer} ({Endpoint}): packets of more than {Mtu} bytes are lost without an ICMP error, and {Link} leave this host; "
                + "TCP is cut to fit, other senders are told; known by {Evidence}", peer.Peer.Name, peer.Peer.Endpoint, path.Mtu, path.LinkMtu, EvidenceName(report));
        }
        else
        {
            _log.LogInformation(
                "the way to peer {Peer} ({Endpoint}) carries {Mtu} of the {Link} bytes that leave this host, known by {Evidence}",
                peer.Peer.Name, peer.Peer.Endpoint, path.Mtu, path.LinkMtu, EvidenceName(report));
        }
    }

    /// <summary>How the status names what a path's MTU rests on.</summary>
    public static string EvidenceName(PathReport report) => report.Evidence switch
    {
        PathEvidence.Probes => "probes",
        PathEvidence.Icmp => "icmp",
        PathEvidence.TcpMss => "tcp-mss",
        PathEvidence.TcpRepeats => "tcp-repeats",
        _ => "interface",
    };
}
