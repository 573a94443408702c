using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi;

/// <summary>What volumes can be asked to be.</summary>
internal static class Capabilities
{
    /// <summary>What a volume of each kind takes at least, for its file system to be made.</summary>
    private static readonly Dictionary<string, long> SmallestBytes = new(StringComparer.Ordinal)
    {
        ["block"] = 4096,
        ["ext4"] = 16L << 20,
        ["btrfs"] = 128L << 20,
        ["xfs"] = 300L << 20,
    };

    /// <exception cref="GrpcException">INVALID_ARGUMENT: none, or one that says too little.</exception>
    public static void Check(IReadOnlyCollection<VolumeCapability> capabilities)
    {
        if (capabilities.Count == 0) throw new GrpcException(GrpcStatusCode.InvalidArgument, "volume_capabilities is missing");
        foreach (VolumeCapability capability in capabilities)
        {
            if (capability.AccessTypeCase == VolumeCapability.AccessTypeOneofCase.None)
            {
                throw new GrpcException(GrpcStatusCode.InvalidArgument, "volume_capabilities: access_type is neither block nor mount");
            }
            if (capability.AccessMode is null or { Mode: Mode.Unknown })
            {
                throw new GrpcException(GrpcStatusCode.InvalidArgument, "volume_capabilities: access_mode is missing");
            }
        }
    }

    /// <summary>Why a volume of one node cannot be that; null where it can.</summary>
    public static string? Refusal(IEnumerable<VolumeCapability> capabilities)
    {
        string? kind = null;
        foreach (VolumeCapability capability in capabilities)
        {
            Mode mode = capability.AccessMode.Mode;
            if (mode is not (Mode.SingleNodeWriter or Mode.SingleNodeReaderOnly or Mode.SingleNodeSingleWriter or Mode.SingleNodeMultiWriter))
            {
                return $"access mode {mode}: a volume of a pool is on one node; use ReadWriteOnce or ReadWriteOncePod";
            }
            if (capability.Mount is { VolumeMountGroup.Length: > 0 }) return "volume_mount_group is not offered: use fsGroupPolicy: File";
            string next = KindOf(capability);
            if (!SmallestBytes.ContainsKey(next)) return $"fs_type '{next}': choose ext4, xfs or btrfs";
            if (kind is not null && kind != next) return $"one volume cannot be {kind} and {next}";
            kind = next;
        }
        return null;
    }

    /// <summary>Smallest size for capabilities that were not refused.</summary>
    public static long Smallest(IEnumerable<VolumeCapability> capabilities) => SmallestBytes[KindOf(capabilities.First())];

    /// <summary>One notation of a set of capabilities, whatever their order. Mount flags are no part of what a volume is.</summary>
    public static string Notation(IEnumerable<VolumeCapability> capabilities) => string.Join(
        ',', capabilities.Select(capability => $"{KindOf(capability)}/{capability.AccessMode.Mode}").Distinct().Order(StringComparer.Ordinal));

    private static string KindOf(VolumeCapability capability) =>
        capability.Block is not null ? "block" : capability.Mount.FsType is { Length: > 0 } type ? type : "ext4";
}
