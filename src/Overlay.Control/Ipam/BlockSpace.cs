using System.Net;
using Overlay.Control.Model;
using Overlay.Wire;

namespace Overlay.Control.Ipam;

/// <summary>The blocks of a pool by their number.</summary>
internal sealed class BlockSpace
{
    private readonly UInt128 _first;
    private readonly int _hostBits;
    private readonly PoolDocument _pool;
    private readonly (UInt128 First, UInt128 Last)[] _excluded;

    public BlockSpace(PoolDocument pool)
    {
        _pool = pool;
        IPNetwork network = pool.Network;
        int bits = pool.IsIPv6 ? 128 : 32;
        _hostBits = bits - pool.BlockLength;
        _first = IpBits.V6OrMapped(network.BaseAddress);
        Count = UInt128.One << (pool.BlockLength - network.PrefixLength);
        _excluded = [.. pool.Excluded.Select(each => Range(IPNetwork.Parse(each), bits))];
    }

    /// <summary>How many blocks there are, those that are wholly excluded too.</summary>
    public UInt128 Count { get; }

    /// <summary>How many of them are wholly excluded.</summary>
    public UInt128 ExcludedCount
    {
        get
        {
            UInt128 usable = 0;
            for (UInt128 index = NextUsable(0); index < Count;)
            {
                UInt128 end = _excluded.Select(range => FirstWholly(range.First)).Where(first => first > index).DefaultIfEmpty(Count).Min();
                end = end < Count ? end : Count;
                usable += end - index;
                index = NextUsable(end);
            }
            return Count - usable;
        }
    }

    public IPNetwork At(UInt128 index) => new(IpBits.ToAddress(_first + (index << _hostBits)), _pool.BlockLength);

    /// <summary>The block that holds an address of the pool.</summary>
    public IPNetwork Containing(IPAddress address) => At((IpBits.V6OrMapped(address) - _first) >> _hostBits);

    /// <summary>A block's number; null: it is none of this pool's.</summary>
    public UInt128? IndexOf(IPNetwork block)
    {
        UInt128 first = IpBits.V6OrMapped(block.BaseAddress);
        if (block.PrefixLength != _pool.BlockLength || first < _first) return null;
        UInt128 index = (first - _first) >> _hostBits;
        return index < Count ? index : null;
    }

    /// <summary>Whether an excluded prefix covers the whole block.</summary>
    public bool IsExcluded(UInt128 index) => Excluding(index) is not null;

    /// <summary>The first block from a number on that is not wholly excluded; it may be past the last.</summary>
    public UInt128 NextUsable(UInt128 index)
    {
        // Exclusions may be of more blocks than can be counted through.
        while (index < Count && Excluding(index) is { } range) index = ((range.Last - _first) >> _hostBits) + 1;
        return index;
    }

    /// <summary>The first block that begins at an address or after it.</summary>
    private UInt128 FirstWholly(UInt128 address) =>
        address <= _first ? 0 : (address - _first + ((UInt128.One << _hostBits) - 1)) >> _hostBits;

    private (UInt128 First, UInt128 Last)? Excluding(UInt128 index)
    {
        UInt128 first = _first + (index << _hostBits);
        UInt128 last = first + ((UInt128.One << _hostBits) - 1);
        foreach ((UInt128 First, UInt128 Last) range in _excluded)
        {
            if (range.First <= first && range.Last >= last) return range;
        }
        return null;
    }

    private static (UInt128 First, UInt128 Last) Range(IPNetwork prefix, int bits)
    {
        UInt128 first = IpBits.V6OrMapped(prefix.BaseAddress);
        return (first, first + ((UInt128.One << (bits - prefix.PrefixLength)) - 1));
    }
}
