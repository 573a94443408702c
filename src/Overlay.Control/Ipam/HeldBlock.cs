using System.Net;
using Overlay.Wire;

namespace Overlay.Control.Ipam;

/// <summary>A block that this node holds: which of its addresses were never handed out.</summary>
internal sealed class HeldBlock
{
    private readonly UInt128 _first;
    private readonly int _size;
    private readonly HashSet<UInt128> _takenAhead = [];

    public HeldBlock(string network, IPNetwork prefix, IEnumerable<UInt128> unusable)
    {
        Network = network;
        Prefix = prefix;
        int bits = (IsIPv6 ? 128 : 32) - prefix.PrefixLength;
        if (bits > 16) throw new ArgumentOutOfRangeException(nameof(prefix), $"{prefix} has more than 65536 addresses");
        _first = IpBits.V6OrMapped(prefix.BaseAddress);
        _size = 1 << bits;
        Unusable = unusable.ToHashSet();
    }

    public string Network { get; }

    public IPNetwork Prefix { get; }

    public bool IsIPv6 => Prefix.BaseAddress.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6;

    /// <summary>Addresses from the start that may have been handed out, as the journal has it on the disk.</summary>
    public int Window { get; set; }

    /// <summary>A window that is being written.</summary>
    public int WindowAsked { get; set; }

    /// <summary>Addresses from the start of which the journal may not know, after a crash of the host, that they were handed out before this boot.</summary>
    public int Doubtful { get; set; }

    /// <summary>Addresses from the start that were handed out once, or passed over.</summary>
    public int Next { get; set; }

    /// <summary>Whether no more of its addresses are to be handed out, as the block is on its way back.</summary>
    public bool IsReturning { get; set; }

    /// <summary>Whether that is on the disk.</summary>
    public bool IsReturnWritten { get; set; }

    public int Size => _size;

    public int InUse { get; set; }

    /// <summary>Addresses that cool down; kept by <see cref="CoolingQueue"/>.</summary>
    public int Warm { get; set; }

    /// <summary>Addresses that anybody can have at once.</summary>
    public int Available => Math.Max(Usable - InUse - Warm, 0);

    /// <summary>Addresses that are not spared.</summary>
    public int Usable => Size - Unusable.Count;

    /// <summary>Addresses that are spared.</summary>
    public IReadOnlySet<UInt128> Unusable { get; set; }

    /// <summary>Whether it is a part of another node's block.</summary>
    public bool IsLent { get; set; }

    public bool IsUsable(UInt128 address) => !Unusable.Contains(address);

    /// <summary>The first address from a number on that is not spared; null: there is none.</summary>
    public int? UsableFrom(int index)
    {
        while (index < Size && !IsUsable(At(index))) index++;
        return index < Size ? index : null;
    }

    public int IndexOf(UInt128 address) => (int)(address - _first);

    public UInt128 At(int index) => _first + (UInt128)index;

    public bool Contains(UInt128 address) => address >= _first && address - _first < (UInt128)_size;

    /// <summary>The next address that was never handed out; null where the window, or the block, is at its end.</summary>
    public UInt128? TakeNew()
    {
        while (Next < Window)
        {
            UInt128 address = At(Next++);
            if (!_takenAhead.Remove(address) && IsUsable(address)) return address;
        }
        return null;
    }

    /// <summary>Takes one certain address that was never handed out; false where it was.</summary>
    public bool TakeNew(UInt128 address) => IndexOf(address) >= Next && _takenAhead.Add(address);
}
