using Overlay.Csi.State;
using Overlay.Linux.Storage;

namespace Overlay.Csi.Pools;

/// <summary>The pools of this node.</summary>
internal sealed class PoolSet(IReadOnlyList<DirectoryPool> pools)
{
    public IReadOnlyList<DirectoryPool> All => pools;

    /// <summary>The one of that name, or the first where none is named; null where there is no such.</summary>
    public DirectoryPool? Find(string? name) => name is null ? pools[0] : pools.FirstOrDefault(pool => pool.Name == name);

    /// <summary>
    /// The image of a volume: that of its record, or, where the record was lost, the one that is named after it. Null where there is none.
    /// </summary>
    public FileIdentity? ImageOf(string id, VolumeRecord? record)
    {
        if (record is not null) return Find(record.Pool) is { } pool ? FileIdentity.Of(pool.PathOf(id)) : null;
        return pools.Select(pool => FileIdentity.Of(pool.PathOf(id))).FirstOrDefault(image => image is not null);
    }
}
