namespace Overlay.Rpc;

/// <summary>What <c>GET /v1/volumes</c> of overlay-csi answers. It holds no mount flags and nothing secret.</summary>
/// <param name="Driver">Name of the driver.</param>
/// <param name="Node">Name of the node.</param>
/// <param name="Pools">Where the volumes of this node are made.</param>
/// <param name="Volumes">By identifier.</param>
/// <param name="Damaged">A line for each record that cannot be read: its volume is kept, and not used.</param>
public sealed record VolumesDocument(
    string Driver, string Node, IReadOnlyList<PoolStatus> Pools, IReadOnlyList<VolumeStatus> Volumes, IReadOnlyList<string> Damaged);

/// <param name="Name">As StorageClasses write it.</param>
/// <param name="Folder">Where its images are.</param>
/// <param name="AvailableBytes">That new volumes can have.</param>
/// <param name="Abnormal">What is wrong; null where nothing is.</param>
public sealed record PoolStatus(string Name, string Folder, long AvailableBytes, string? Abnormal);

/// <param name="Id">Volume handle.</param>
/// <param name="Name">Name it was made under: that of the PersistentVolume as a rule.</param>
/// <param name="Pool">Name of its pool; empty for a static volume.</param>
/// <param name="Kind"><c>block</c>, the type of the file system, or that of the static volume.</param>
/// <param name="CapacityBytes">What was promised; 0 for a static volume.</param>
/// <param name="OccupiedBytes">What its image takes of the pool.</param>
/// <param name="Snapshots">Identifiers of its snapshots.</param>
/// <param name="StagedAt">Path; null where it is not staged.</param>
/// <param name="Abnormal">What is wrong; null where nothing is.</param>
/// <param name="Users">Where it is published.</param>
public sealed record VolumeStatus(
    string Id,
    string Name,
    string Pool,
    string Kind,
    long CapacityBytes,
    long OccupiedBytes,
    IReadOnlyList<string> Snapshots,
    string? StagedAt,
    string? Abnormal,
    IReadOnlyList<VolumeUser> Users);

/// <param name="Pod">Namespace and name, where the kubelet told (<c>podInfoOnMount</c>).</param>
/// <param name="PodUid">As the target's path tells it; null where it is no path of the kubelet's.</param>
/// <param name="Target">Path at which the volume is published.</param>
/// <param name="Addresses">Of the pod, with prefix lengths, where overlayd wired it; overlay-csi itself leaves them out.</param>
public sealed record VolumeUser(string? Pod, string? PodUid, string Target, bool IsReadOnly, IReadOnlyList<string>? Addresses = null);
