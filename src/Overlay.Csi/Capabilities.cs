using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi;

/// <summary>What volumes can be asked to be.</summary>
internal static class Capabilities
{
    private const string Types = "choose ext4, xfs or btrfs";

    /// <summary>What a volume of each kind takes at least, for its file system to be made, and to grow: btrfs takes no size below that.</summary>
    private static readonly Dictionary<string, long> SmallestBytes = new(StringComparer.Ordinal)
    {
        ["block"] = 4096,
        ["ext4"] = 16L << 20,
        ["btrfs"] = 256L << 20,
        ["xfs"] = 300L << 20,
    };

    /// <exception cref="GrpcException">INVALID_ARGUMENT: none, or one that says too little.</exception>
    public static void Check(IReadOnlyCollection<VolumeCapability> capabilities)
    {
        if (capabilities.Count == 0) throw new GrpcException(GrpcStatusCode.InvalidArgument, "volume_capabilities is missing");
        foreach (VolumeCapability capability in capabilities) Check("volume_capabilities", capability);
    }

    /// <exception cref="GrpcException">INVALID_ARGUMENT: it is missing, or says too little.</exception>
    public static void Check(string field, VolumeCapability? capability)
    {
        if (capability is null) throw new GrpcException(GrpcStatusCode.InvalidArgument, $"{field} is missing");
        if (capability.AccessTypeCase == VolumeCapability.AccessTypeOneofCase.None)
        {
            throw new GrpcException(GrpcStatusCode.InvalidArgument, $"{field}: access_type is neither block nor mount");
        }
        if (capability.AccessMode is null or { Mode: Mode.Unknown })
        {
            throw new GrpcException(GrpcStatusCode.InvalidArgument, $"{field}: access_mode is missing");
        }
        if (!Enum.IsDefined(capability.AccessMode.Mode)) throw new GrpcException(GrpcStatusCode.InvalidArgument, $"{field}: access_mode {capability.AccessMode.Mode} is unknown");
    }

    /// <summary>Puts the type of the file system into capabilities that leave it open.</summary>
    /// <param name="type">Null: ext4.</param>
    /// <exception cref="GrpcException">INVALID_ARGUMENT: it is none, or the capabilities name another one.</exception>
    public static void Choose(IEnumerable<VolumeCapability> capabilities, string? type)
    {
        if (type is not null && (type == "block" || !SmallestBytes.ContainsKey(type))) throw new GrpcException(GrpcStatusCode.InvalidArgument, $"parameter fsType '{type}': {Types}");
        foreach (VolumeCapability capability in capabilities.Where(capability => capability.Mount is not null))
        {
            if (capability.Mount.FsType.Length == 0) capability.Mount.FsType = type ?? "ext4";
            else if (type is not null && capability.Mount.FsType != type)
            {
                throw new GrpcException(GrpcStatusCode.InvalidArgument, $"parameter fsType '{type}': the capabilities have fs_type '{capability.Mount.FsType}'");
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
            if (capability.Mount?.FsType == "block" || !SmallestBytes.ContainsKey(next)) return $"fs_type '{next}': {Types}";
            if (kind is not null && kind != next) return $"one volume cannot be {kind} and {next}";
            kind = next;
        }
        return null;
    }

    /// <summary>Bytes at least and at most; 0: no such bound.</summary>
    /// <exception cref="GrpcException">INVALID_ARGUMENT: negative, or the wrong way round.</exception>
    public static (long Required, long Limit) Range(CapacityRange? range)
    {
        (long required, long limit) = (range?.RequiredBytes ?? 0, range?.LimitBytes ?? 0);
        if (required < 0 || limit < 0) throw Invalid($"capacity_range: {required} to {limit} bytes is negative");
        if (limit > 0 && required > limit) throw Invalid($"capacity_range: required_bytes {required} is more than limit_bytes {limit}");
        return (required, limit);

        static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
    }

    /// <summary>Smallest size for capabilities that were not refused.</summary>
    public static long Smallest(IEnumerable<VolumeCapability> capabilities) => SmallestBytes[KindOf(capabilities.First())];

    /// <summary>One notation of a set of capabilities, whatever their order. Mount flags are no part of what a volume is.</summary>
    public static string Notation(IEnumerable<VolumeCapability> capabilities) => string.Join(
        ',', capabilities.Select(capability => $"{KindOf(capability)}/{capability.AccessMode.Mode}").Distinct().Order(StringComparer.Ordinal));

    /// <summary>
    /// Why a volume that was made for some capabilities cannot be used by another one; null where it can: of the same kind, and no more than
    /// the access it was made for.
    /// </summary>
    /// <param name="made">As <see cref="Notation"/>.</param>
    public static string? Excess(string made, VolumeCapability asked)
    {
        string kind = made.Split('/')[0];
        if (asked.Mount is not { FsType.Length: 0 } || kind == "block")
        {
            if (KindOf(asked) != kind) return $"the volume is {kind}, not {KindOf(asked)}";
        }
        if (asked.Mount is { VolumeMountGroup.Length: > 0 }) return "volume_mount_group is not offered: use fsGroupPolicy: File";
        Mode mode = asked.AccessMode.Mode;
        bool fits = made.Split(',').Select(one => Enum.Parse<Mode>(one.Split('/')[1])).Any(known => known == mode || mode switch
        {
            Mode.SingleNodeReaderOnly => true,
            Mode.SingleNodeSingleWriter => known is not Mode.SingleNodeReaderOnly,
            Mode.SingleNodeWriter or Mode.SingleNodeMultiWriter => known is Mode.SingleNodeWriter or Mode.SingleNodeMultiWriter,
            _ => false,
        });
        return fits ? null : $"access mode {mode}: the volume was made for {made}";
    }

    /// <summary>Whether any number of targets on one node may have the volume.</summary>
    public static bool AreMany(Mode mode) =>
        mode == Mode.SingleNodeMultiWriter || IsManyNodes(mode);

    public static bool IsManyNodes(Mode mode) => mode is Mode.MultiNodeReaderOnly or Mode.MultiNodeSingleWriter or Mode.MultiNodeMultiWriter;

    public static bool IsReader(Mode mode) => mode is Mode.SingleNodeReaderOnly or Mode.MultiNodeReaderOnly;

    /// <summary><c>block</c>, or the type of the file system.</summary>
    public static string KindOf(VolumeCapability capability) =>
        capability.Block is not null ? "block" : capability.Mount.FsType is { Length: > 0 } type ? type : "ext4";
}
