using System.Diagnostics.Metrics;

namespace Overlay.Agent.Metrics;

/// <summary>Sums by up to three tags, for one instrument at one time.</summary>
internal sealed class Tally(params string[] tags)
{
    private readonly Dictionary<(string, string?, string?), long> _sums = [];

    public void Add(long value, string first, string? second = null, string? third = null)
    {
        _sums.TryGetValue((first, second, third), out long sum);
        _sums[(first, second, third)] = sum + value;
    }

    public IEnumerable<Measurement<long>> Measurements() => _sums.Select(each => new Measurement<long>(each.Value, Tags(each.Key)));

    private KeyValuePair<string, object?>[] Tags((string First, string? Second, string? Third) values)
    {
        string?[] all = [values.First, values.Second, values.Third];
        return [.. tags.Select((tag, i) => new KeyValuePair<string, object?>(tag, all[i]))];
    }
}
