namespace Overlay.Cli.Conformance;

/// <summary>What arrived of each series of datagrams; only the last few series are kept.</summary>
internal sealed class Counts
{
    private const int MostSeries = 64;
    private const int MostClasses = 64;

    private readonly Lock _lock = new();
    private readonly Dictionary<ulong, Series> _series = [];
    private readonly Queue<ulong> _order = new();

    /// <summary>Notes a datagram that a socket received.</summary>
    public void Arrived(ulong token, int number)
    {
        lock (_lock)
        {
            Series series = Of(token);
            if (!series.Seen.Add(number)) series.Duplicates++;
            else if (number < series.Highest) series.Late++;
            series.Highest = Math.Max(series.Highest, number);
        }
    }

    /// <summary>Notes the traffic class of a datagram that was seen.</summary>
    public void Classified(ulong token, byte trafficClass)
    {
        lock (_lock)
        {
            Series series = Of(token);
            if (series.Classes.Count < MostClasses) series.Classes.Add(trafficClass);
        }
    }

    public DatagramCount Read(ulong token)
    {
        lock (_lock)
        {
            return _series.TryGetValue(token, out Series? series)
                ? new DatagramCount(series.Seen.Count, series.Duplicates, series.Late, [.. series.Classes])
                : new DatagramCount(0, 0, 0, []);
        }
    }

    private Series Of(ulong token)
    {
        if (_series.TryGetValue(token, out Series? known)) return known;
        if (_order.Count == MostSeries) _series.Remove(_order.Dequeue());
        _order.Enqueue(token);
        return _series[token] = new Series();
    }

    private sealed class Series
    {
        public HashSet<int> Seen { get; } = [];

        public List<int> Classes { get; } = [];

        public long Duplicates { get; set; }

        public long Late { get; set; }

        public int Highest { get; set; } = -1;
    }
}
