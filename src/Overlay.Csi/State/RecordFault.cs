using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.State;

/// <summary>What cannot be in a record that this driver wrote: such a one is not acted upon.</summary>
internal static class RecordFault
{
    private static readonly string[] Kinds = ["block", "ext4", "xfs", "btrfs"];

    /// <summary>Null where all of it can be.</summary>
    public static string? Of(VolumeRecord record)
    {
        if (record.Static is not null) return VolumeId.IsVolume(record.Id) ? "a static volume has no identifier of the driver's" : null;
        return record.Id != VolumeId.OfVolume(record.Name) ? "its identifier is not that of its name"
            : record.Pool.Length == 0 ? "it has no pool"
            : record.CapacityBytes <= 0 || record.GrowingTo < 0 || (record.GrowingTo > 0 && record.GrowingTo < record.CapacityBytes) ? $"{record.CapacityBytes} bytes, growing to {record.GrowingTo}"
            : record.Phase != VolumePhase.Creating && record.Inode == 0 ? "its image has no inode"
            : record.Made.Split(',').Any(one => one.Split('/') is not [var kind, var mode] || !Kinds.Contains(kind) || !Enum.TryParse(mode, out Mode _)) ? $"shape '{record.Shape}'"
            : record.Format is { } format && format.Type != record.Kind ? $"a {format.Type} on a volume of {record.Kind}"
            : record.Format is { Phase: FormatPhase.Done, Uuid.Length: 0 } ? "its file system has no UUID"
            : null;
    }

    /// <summary>Null where all of it can be.</summary>
    public static string? Of(SnapshotRecord record) =>
        record.Id != VolumeId.OfSnapshot(record.Name) ? "its identifier is not that of its name"
        : record.Pool.Length == 0 || record.Volume.Length == 0 ? "it has no pool or volume"
        : record.Bytes <= 0 ? $"{record.Bytes} bytes"
        : record.Phase != VolumePhase.Creating && record.Inode == 0 ? "its image has no inode"
        : !Kinds.Contains(record.Kind) ? $"kind '{record.Kind}'"
        : null;
}
