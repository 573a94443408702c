using System.Collections;
using Overlay.Wire;

namespace Overlay.Control.Model;

/// <summary>Routes in order: by segment, prefix, and the best of each prefix first. Immutable.</summary>
public sealed class RouteSet : IReadOnlyList<RouteState>
{
    private readonly RouteState[] _routes;

    private RouteSet(RouteState[] sorted) => _routes = sorted;

    public static RouteSet Empty { get; } = new([]);

    public int Count => _routes.Length;

    public RouteState this[int index] => _routes[index];

    /// <summary>The routes of any list; those of a set are not sorted again.</summary>
    public static RouteSet Of(IEnumerable<RouteState> routes)
    {
        if (routes is RouteSet set) return set;
        RouteState[] sorted = [.. routes];
        // Files of many routes mostly are in order.
        for (int i = 1; i < sorted.Length; i++)
        {
            if (RouteState.Compare(sorted[i - 1], sorted[i]) > 0) return new RouteSet(Sort(sorted));
        }
        return new RouteSet(sorted);
    }

    /// <summary>These and those of another set.</summary>
    public RouteSet Union(RouteSet other)
    {
        if (other.Count == 0) return this;
        if (Count == 0) return other;
        var merged = new RouteState[Count + other.Count];
        int left = 0;
        int right = 0;
        for (int i = 0; i < merged.Length; i++)
        {
            bool takesLeft = right == other.Count || (left < Count && RouteState.Compare(_routes[left], other._routes[right]) <= 0);
            merged[i] = takesLeft ? _routes[left++] : other._routes[right++];
        }
        return new RouteSet(merged);
    }

    /// <summary>By address first, which as a bare number sorts several times faster than a whole route.</summary>
    private static RouteState[] Sort(RouteState[] routes)
    {
        if (routes.Any(route => route.Segment != routes[0].Segment))
            return [.. routes.GroupBy(route => route.Segment).OrderBy(group => group.Key, StringComparer.Ordinal).SelectMany(group => Sort([.. group]))];
        var addresses = new UInt128[routes.Length];
        for (int i = 0; i < routes.Length; i++) addresses[i] = routes[i].Address;
        Array.Sort(addresses, routes);
        for (int start = 0; start < routes.Length;)
        {
            int end = start + 1;
            while (end < routes.Length && routes[end].Address == routes[start].Address) end++;
            if (end - start > 1) routes.AsSpan(start, end - start).Sort(RouteState.Compare);
            start = end;
        }
        return routes;
    }

    public ReadOnlySpan<RouteState> All => _routes;

    /// <summary>The routes of one segment.</summary>
    public ReadOnlySpan<RouteState> OfSegment(string segment)
    {
        int first = FirstNotBefore(0, _routes.Length, route => string.CompareOrdinal(route.Segment, segment) < 0);
        int end = FirstNotBefore(first, _routes.Length, route => string.CompareOrdinal(route.Segment, segment) <= 0);
        return _routes.AsSpan(first, end - first);
    }

    /// <summary>The routes to exactly this prefix, the best first; empty where there is none.</summary>
    /// <param name="segment">Name of the segment.</param>
    /// <param name="address">Host-order bits, IPv4-mapped for IPv4.</param>
    /// <param name="length">Prefix length within its family.</param>
    public ReadOnlySpan<RouteState> Find(string segment, UInt128 address, int length)
    {
        ReadOnlySpan<RouteState> routes = OfSegment(segment);
        int low = 0;
        int high = routes.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            bool isBefore = routes[middle].Address != address ? routes[middle].Address < address : routes[middle].Length < length;
            if (isBefore) low = middle + 1;
            else high = middle;
        }
        int end = low;
        while (end < routes.Length && routes[end].Address == address && routes[end].Length == length) end++;
        return routes[low..end];
    }

    /// <summary>All routes of a segment whose prefix covers an address, the shortest prefix first.</summary>
    public IReadOnlyList<RouteState> Covering(string segment, UInt128 address)
    {
        var found = new List<RouteState>();
        int bits = IpBits.IsMapped(address) ? 32 : 128;
        for (int length = 0; length <= bits; length++)
        {
            UInt128 network = length == 0 && bits == 128 ? 0 : address >> (bits - length) << (bits - length);
            foreach (RouteState route in Find(segment, network, length)) found.Add(route);
        }
        return found;
    }

    /// <summary>True for a route that another one of its prefix is better than.</summary>
    /// <param name="index">Of a route.</param>
    public bool IsBeaten(int index) => index > 0 && _routes[index].HasPrefixOf(_routes[index - 1]);

    public IEnumerator<RouteState> GetEnumerator() => ((IEnumerable<RouteState>)_routes).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => _routes.GetEnumerator();

    private int FirstNotBefore(int low, int high, Func<RouteState, bool> isBefore)
    {
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (isBefore(_routes[middle])) low = middle + 1;
            else high = middle;
        }
        return low;
    }
}
