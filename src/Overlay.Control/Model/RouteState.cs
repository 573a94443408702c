using System.Net;
using Overlay.Wire;

namespace Overlay.Control.Model;

/// <summary>Where a route comes from; each source has a priority of its own.</summary>
public enum RouteSource : byte
{
    /// <summary>The <c>routes:</c> of the node's configuration.</summary>
    Configured,

    /// <summary>A file of routes that the configuration names.</summary>
    File,

    /// <summary>A block of addresses that the node leased.</summary>
    Block,

    Controller,
}

/// <summary>
/// A prefix of inner destinations and what is done with them. Of several routes of one segment to one prefix the best is in force: that of the
/// lowest <see cref="Priority"/>, then of the lowest <see cref="Metric"/>, then of the first <see cref="Source"/>.
/// </summary>
public readonly record struct RouteState
{
    private readonly byte _length;
    private readonly byte _priority;

    /// <param name="address">Host-order bits, IPv4-mapped for IPv4; zero beyond the length.</param>
    /// <param name="length">Prefix length within its family.</param>
    /// <param name="target">What is done.</param>
    /// <param name="segment">Name of a <see cref="SegmentState"/>.</param>
    public RouteState(UInt128 address, int length, RouteTargetState target, string segment)
    {
        Address = address;
        _length = (byte)length;
        Target = target;
        Segment = segment;
    }

    public RouteState(IPNetwork prefix, RouteTargetState target, string segment)
        : this(IpBits.V6OrMapped(prefix.BaseAddress), prefix.PrefixLength, target, segment)
    {
    }

    /// <summary>A prefix that lives behind a peer.</summary>
    public RouteState(IPNetwork prefix, string peer, string segment)
        : this(prefix, RouteTargetState.To(peer), segment)
    {
    }

    /// <summary>Host-order bits, IPv4-mapped for IPv4.</summary>
    public UInt128 Address { get; }

    /// <summary>Prefix length within its family.</summary>
    public int Length => _length;

    public RouteTargetState Target { get; }

    /// <summary>Name of a <see cref="SegmentState"/>.</summary>
    public string Segment { get; }

    public RouteSource Source { get; init; }

    /// <summary>The lower wins; 1 to 255. That of its source unless it is given.</summary>
    public byte Priority
    {
        get => _priority == 0 ? DefaultPriority(Source) : _priority;
        init => _priority = value;
    }

    /// <summary>Among routes of one priority the lower wins.</summary>
    public uint Metric { get; init; }

    /// <summary>Line of the file that says so, from 1; 0 where there is none.</summary>
    public int Line { get; init; }

    public bool IsIPv6 => !IpBits.IsMapped(Address);

    public IPNetwork Prefix => new(IpBits.ToAddress(Address), Length);

    public static byte DefaultPriority(RouteSource source) => source switch
    {
        RouteSource.Configured => 10,
        RouteSource.File => 20,
        RouteSource.Block => 30,
        _ => 40,
    };

    public bool HasPrefixOf(in RouteState other) => Address == other.Address && _length == other._length && Segment == other.Segment;

    /// <summary>Puts routes of one prefix together, the best first.</summary>
    public static int Compare(RouteState left, RouteState right)
    {
        if (!ReferenceEquals(left.Segment, right.Segment) && string.CompareOrdinal(left.Segment, right.Segment) is not 0 and int segments) return segments;
        if (left.Address != right.Address) return left.Address < right.Address ? -1 : 1;
        if (left._length != right._length) return left._length.CompareTo(right._length);
        if (left.Priority != right.Priority) return left.Priority.CompareTo(right.Priority);
        if (left.Metric != right.Metric) return left.Metric.CompareTo(right.Metric);
        if (left.Source != right.Source) return left.Source.CompareTo(right.Source);
        return string.CompareOrdinal(left.Target.Text, right.Target.Text);
    }

    public override string ToString() => $"{Prefix} to {Target} in {Segment}";
}
