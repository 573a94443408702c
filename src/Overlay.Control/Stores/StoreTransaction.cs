namespace Overlay.Control.Stores;

/// <summary>Conditions and the writes that depend on them. Each key is written at most once.</summary>
public sealed class StoreTransaction
{
    /// <summary>Most writes of one transaction; etcd takes 128 operations unless told otherwise.</summary>
    public const int MostWrites = 100;

    private readonly List<StoreCondition> _conditions = [];
    private readonly List<StoreWrite> _writes = [];

    public IReadOnlyList<StoreCondition> Conditions => _conditions;

    public IReadOnlyList<StoreWrite> Writes => _writes;

    /// <summary>Demands that a key was last changed in a revision; 0: that it does not exist.</summary>
    public StoreTransaction Require(string key, long revision)
    {
        _conditions.Add(new StoreCondition(StoreKeys.Check(key), revision));
        return this;
    }

    public StoreTransaction RequireAbsent(string key) => Require(key, 0);

    /// <param name="lease">The lease whose end deletes the key; 0: none.</param>
    public StoreTransaction Put(string key, ReadOnlyMemory<byte> value, long lease = 0) => Add(new StoreWrite(key, value, lease));

    /// <summary>Nothing happens if the key does not exist.</summary>
    public StoreTransaction Delete(string key) => Add(new StoreWrite(key, null, 0));

    private StoreTransaction Add(StoreWrite write)
    {
        StoreKeys.Check(write.Key);
        if (_writes.Exists(each => each.Key == write.Key)) throw new ArgumentException($"{write.Key} is written twice", nameof(write));
        if (_writes.Count == MostWrites) throw new ArgumentException($"more than {MostWrites} writes", nameof(write));
        _writes.Add(write);
        return this;
    }
}

public readonly record struct StoreCondition(string Key, long Revision);

/// <param name="Value">Null: delete.</param>
public readonly record struct StoreWrite(string Key, ReadOnlyMemory<byte>? Value, long Lease);

public enum CommitStatus
{
    Committed,

    /// <summary>A condition did not hold; nothing was written.</summary>
    Conflict,

    /// <summary>A lease that a write names is not there; nothing was written.</summary>
    LeaseGone,
}

/// <param name="Revision">Committed: the revision of the writes. Else a revision at which the transaction could not be applied.</param>
public readonly record struct CommitResult(CommitStatus Status, long Revision)
{
    public bool IsCommitted => Status == CommitStatus.Committed;
}
