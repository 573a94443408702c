namespace Overlay.Control.Ipam;

/// <summary>An address that was released.</summary>
/// <param name="Owner">Who had it last and may have it again at once; null: nobody.</param>
/// <param name="ReleasedAt">Milliseconds of the boot clock.</param>
internal sealed record Cooling(HeldBlock Block, UInt128 Address, string? Owner, long ReleasedAt)
{
    /// <summary>Whether it cools down, by the last look of its queue.</summary>
    public bool IsWarm { get; set; } = true;
}

/// <summary>
/// Released addresses of one network and family in the order of their release: those that cool down, and before them those that anybody may
/// have. For one thread at a time.
/// </summary>
internal sealed class CoolingQueue(BootClock clock, TimeSpan coolDown)
{
    private readonly LinkedList<Cooling> _all = [];

    /// <summary>The first that cools down, by the last look.</summary>
    private LinkedListNode<Cooling>? _firstWarm;

    public IEnumerable<Cooling> All => _all;

    /// <summary>Those that anybody may have, the one released first first.</summary>
    public IEnumerable<LinkedListNode<Cooling>> Cooled()
    {
        Look();
        for (LinkedListNode<Cooling>? node = _all.First; node is not null && node != _firstWarm; node = node.Next) yield return node;
    }

    /// <param name="released">Not before those that are here.</param>
    public LinkedListNode<Cooling> Add(Cooling released)
    {
        LinkedListNode<Cooling> node = _all.AddLast(released);
        released.Block.Warm++;
        _firstWarm ??= node;
        return node;
    }

    public void Remove(LinkedListNode<Cooling> node)
    {
        if (IsWarm(node.Value)) node.Value.Block.Warm--;
        if (_firstWarm == node) _firstWarm = node.Next;
        _all.Remove(node);
    }

    /// <summary>Whether an address cools down.</summary>
    public bool IsWarm(Cooling released)
    {
        Look();
        return released.IsWarm;
    }

    /// <summary>Counts those as cool that are by now.</summary>
    public void Look()
    {
        while (_firstWarm is { } node && IsCool(node.Value))
        {
            node.Value.IsWarm = false;
            node.Value.Block.Warm--;
            _firstWarm = node.Next;
        }
    }

    private bool IsCool(Cooling each) => clock.Milliseconds - each.ReleasedAt >= (long)coolDown.TotalMilliseconds;
}
