using Overlay.Dataplane.Mtu;

namespace Overlay.Dataplane.Tests.Mtu;

/// <summary>A search on a path whose MTU, delay and losses the test chooses, in time that only passes when it says so.</summary>
internal sealed class SimulatedPath
{
    private readonly PriorityQueue<(ulong Token, int Size), double> _answers = new();
    private readonly List<ProbeRequest> _probes = [];
    private ulong _token;

    public SimulatedPath(int link, PathTimers? timers = null)
    {
        Link = link;
        Search = new PathSearch(PathSearch.LeastIpv4, timers ?? new PathTimers(), () => ++_token);
    }

    public PathSearch Search { get; }

    public int Link { get; set; }

    /// <summary>Largest packet that gets through.</summary>
    public int Mtu { get; set; } = int.MaxValue;

    /// <summary>MTUs of hops, the nearest first, before which routers tell of what is too big.</summary>
    public int[] ToldHops { get; set; } = [];

    /// <summary>False: the peer knows no probes.</summary>
    public bool Answers { get; set; } = true;

    public bool IsActive { get; set; } = true;

    public double RoundTrip { get; set; } = 1;

    /// <summary>Whether a probe is lost for another reason than its size.</summary>
    public Func<int, bool> Loses { get; set; } = _ => false;

    public double Now { get; private set; }

    /// <summary>Sizes of all probes that were sent.</summary>
    public List<int> Sent { get; } = [];

    public int InForce => Math.Min(Search.FoundMtu, Link);

    /// <summary>Lets time pass.</summary>
    public void Run(double milliseconds)
    {
        double end = Now + milliseconds;
        while (Now < end)
        {
            Search.SetLink(Link, Now);
            double next = Math.Min(end, Search.Advance(Now, IsActive, maySearch: true, _probes));
            foreach (ProbeRequest probe in _probes)
            {
                Sent.Add(probe.Size);
                if (Answers && probe.Size <= Mtu && !Loses(probe.Size)) _answers.Enqueue((probe.Token, probe.Size), Now + RoundTrip);
                if (Array.Find(ToldHops, hop => hop < probe.Size) is > 0 and int told) Search.TooBig(told, probe.Size, Now);
            }
            _probes.Clear();
            if (_answers.TryPeek(out _, out double due) && due <= next)
            {
                Now = Math.Max(Now, due);
                (ulong token, int size) = _answers.Dequeue();
                Search.Answered(token, size, Now);
                continue;
            }
            Now = Math.Max(next, Now + 0.01);
        }
    }

    /// <returns>Milliseconds that it took.</returns>
    public double RunUntil(Func<SimulatedPath, bool> reached, double most = 10_000)
    {
        double start = Now;
        while (!reached(this))
        {
            Assert.InRange(Now - start, 0, most);
            Run(1);
        }
        return Now - start;
    }
}
