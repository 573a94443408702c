using System.Text.Json.Serialization;

namespace Overlay.Csi.State;

/// <summary>How far a volume has come. It is written before the step that it names.</summary>
internal enum VolumePhase
{
    /// <summary>The image is being made; nobody was told of the volume yet.</summary>
    Creating,

    /// <summary>The image is there.</summary>
    Ready,

    /// <summary>The image is being removed.</summary>
    Deleting,
}

/// <summary>Whether an image holds a file system of ours. Only what was never formatted, or not to the end, is.</summary>
internal enum FormatPhase
{
    Never,

    /// <summary>The program that makes the file system runs or was cut short; nothing was ever mounted.</summary>
    Formatting,

    Done,
}

/// <summary>The file system that a volume was given.</summary>
/// <param name="Type">Such as <c>ext4</c>.</param>
/// <param name="Uuid">That its superblock has, or will have.</param>
/// <param name="IsCopy">Whether another volume or snapshot has a file system of the same UUID.</param>
/// <param name="IsGrowing">Whether a program grows it that must not be cut short, or was: its metadata then may have to be repaired.</param>
internal sealed record FormatRecord(FormatPhase Phase, string Type, string Uuid, bool IsCopy = false, bool IsGrowing = false);

/// <summary>That a volume may be staged: written before the first step, removed after the last. What is so, the kernel tells.</summary>
/// <param name="Path">Where.</param>
/// <param name="Arguments">Digest of what it was staged as.</param>
/// <param name="IsReadOnly">Whether the file system is mounted for readers only.</param>
/// <param name="Mount">What is mounted there (<see cref="Linux.Mounts.MountEntry.Identity"/>), of a static volume; null until it is.</param>
internal sealed record StagingRecord(string Path, string Arguments, bool IsReadOnly, string? Mount = null);

/// <summary>That a volume may be published at a target; as <see cref="StagingRecord"/>.</summary>
/// <param name="Arguments">Digest of what it was published as.</param>
/// <param name="Pod">Namespace and name of the pod, where the orchestrator told.</param>
/// <param name="IsAlone">Whether no other target may have it beside this one: access mode SINGLE_NODE_SINGLE_WRITER.</param>
internal sealed record Publication(string Target, bool IsReadOnly, string Arguments, string? Pod, bool IsAlone = false);

/// <summary>A volume that an administrator wrote down: no image of ours.</summary>
/// <param name="Kind"><c>directory</c>, <c>tmpfs</c>, <c>nfs</c> or <c>cifs</c>.</param>
/// <param name="Source">What is mounted.</param>
internal sealed record StaticRecord(string Kind, string Source);

/// <summary>What is remembered of a volume: one JSON file.</summary>
/// <param name="Id">As the orchestrator knows it.</param>
/// <param name="Name">As it was asked for.</param>
/// <param name="Pool">Name of the pool.</param>
/// <param name="CapacityBytes">What was promised; the image is that long, in whole blocks.</param>
/// <param name="Reserved">Whether the pool's space was taken at once.</param>
/// <param name="Shape">Parameters and capabilities it was asked for with, in one notation.</param>
/// <param name="Inode">Of the image, so that another file in its place is not taken for it; 0 while it is being made.</param>
/// <param name="MkfsOptions">For the program that makes the file system.</param>
/// <param name="Source">What it was made from: <c>snapshot:ID</c> or <c>volume:ID</c>; null: empty.</param>
/// <param name="GrowingTo">Capacity that the image is being grown to; 0: it is not.</param>
internal sealed record VolumeRecord(
    string Id,
    string Name,
    string Pool,
    long CapacityBytes,
    bool Reserved,
    string Shape,
    VolumePhase Phase,
    ulong Inode,
    FormatRecord? Format = null,
    string MkfsOptions = "",
    string? Source = null,
    long GrowingTo = 0,
    StagingRecord? Staging = null,
    IReadOnlyList<Publication>? Published = null,
    StaticRecord? Static = null)
{
    /// <summary>Images are whole blocks of this many bytes.</summary>
    public const long BlockBytes = 4096;

    [JsonIgnore]
    public long ImageBytes => InBlocks(CapacityBytes);

    /// <summary>Its image in the pool.</summary>
    [JsonIgnore]
    public PoolImage Image => new(Id, Pool, InBlocks(Math.Max(CapacityBytes, GrowingTo)), Reserved, Phase == VolumePhase.Creating ? null : Inode);

    /// <summary>The capabilities it was made for, as <see cref="Capabilities.Notation"/>.</summary>
    [JsonIgnore]
    public string Made => Shape[(Shape.IndexOf(' ', StringComparison.Ordinal) + 1)..];

    /// <summary><c>block</c>, or the type of the file system.</summary>
    [JsonIgnore]
    public string Kind => Made.Split('/')[0];

    [JsonIgnore]
    public IReadOnlyList<Publication> Publications => Published ?? [];

    /// <summary>The number of bytes that whole blocks for it have.</summary>
    public static long InBlocks(long bytes) => (bytes + BlockBytes - 1) / BlockBytes * BlockBytes;

    public VolumeRecord With(Publication publication) =>
        this with { Published = [.. Publications.Where(other => other.Target != publication.Target), publication] };

    public VolumeRecord WithoutPublication(string target) => this with { Published = [.. Publications.Where(other => other.Target != target)] };
}

/// <summary>What is remembered of a snapshot: one JSON file.</summary>
/// <param name="Volume">Identifier of the volume it was taken of.</param>
/// <param name="Bytes">Length of the image, and least capacity of a volume made from it.</param>
/// <param name="Kind">As that of the volume.</param>
/// <param name="Format">The file system on it; null where the volume had none yet.</param>
/// <param name="CreatedUnixMilliseconds">When it was taken.</param>
internal sealed record SnapshotRecord(
    string Id,
    string Name,
    string Volume,
    string Pool,
    long Bytes,
    string Kind,
    VolumePhase Phase,
    ulong Inode,
    FormatRecord? Format,
    long CreatedUnixMilliseconds)
{
    /// <summary>Its image in the pool. It takes what it holds, and promises nothing beyond.</summary>
    [JsonIgnore]
    public PoolImage Image => new(Id, Pool, Bytes, IsReserved: false, Phase == VolumePhase.Creating ? null : Inode);
}

/// <summary>An image in a pool.</summary>
/// <param name="Bytes">Length that it has, or is to have.</param>
/// <param name="IsReserved">Whether all of its space is taken at once.</param>
/// <param name="Inode">Of the finished image; null while it is being made.</param>
internal sealed record PoolImage(string Id, string Pool, long Bytes, bool IsReserved, ulong? Inode);

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    RespectRequiredConstructorParameters = true,
    RespectNullableAnnotations = true)]
[JsonSerializable(typeof(VolumeRecord))]
[JsonSerializable(typeof(SnapshotRecord))]
internal sealed partial class VolumeJson : JsonSerializerContext;
