using Overlay.Linux.Mounts;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Node;

/// <summary>Mount flags of a volume, sorted: those of the mount, and those of the file system.</summary>
/// <param name="Attributes">Of each mount.</param>
/// <param name="FileSystem">Of the file system, which the kernel checks.</param>
internal sealed record MountOptions(MountAttributes Attributes, IReadOnlyList<KeyValuePair<string, string?>> FileSystem)
{
    private static readonly Dictionary<string, MountAttributes> Known = new(StringComparer.Ordinal)
    {
        ["defaults"] = MountAttributes.None,
        ["rw"] = MountAttributes.None,
        ["ro"] = MountAttributes.ReadOnly,
        ["suid"] = MountAttributes.None,
        ["nosuid"] = MountAttributes.NoSetuid,
        ["dev"] = MountAttributes.None,
        ["nodev"] = MountAttributes.NoDevices,
        ["exec"] = MountAttributes.None,
        ["noexec"] = MountAttributes.NoExecution,
        ["atime"] = MountAttributes.None,
        ["relatime"] = MountAttributes.None,
        ["noatime"] = MountAttributes.NoAccessTimes,
        ["strictatime"] = MountAttributes.StrictAccessTimes,
        ["diratime"] = MountAttributes.None,
        ["nodiratime"] = MountAttributes.NoFolderAccessTimes,
    };

    /// <summary>What would make the file system use another device, or the mount another one.</summary>
    private static readonly string[] Refused =
    [
        "source", "device", "logdev", "rtdev", "journal_dev", "journal_path", "loop", "bind", "rbind", "remount", "move", "offset", "sizelimit", "degraded",
    ];

    public bool IsReadOnly => Attributes.HasFlag(MountAttributes.ReadOnly);

    /// <exception cref="GrpcException">INVALID_ARGUMENT: a flag that is not taken.</exception>
    public static MountOptions Parse(IEnumerable<string> flags)
    {
        MountAttributes attributes = MountAttributes.None;
        var options = new List<KeyValuePair<string, string?>>();
        foreach (string flag in flags.SelectMany(flag => flag.Split(',', StringSplitOptions.RemoveEmptyEntries)))
        {
            int equals = flag.IndexOf('=', StringComparison.Ordinal);
            string key = equals < 0 ? flag : flag[..equals];
            if (Known.TryGetValue(flag, out MountAttributes attribute)) attributes |= attribute;
            else if (Refused.Contains(key) || key.Length == 0) throw new GrpcException(GrpcStatusCode.InvalidArgument, $"mount flag '{key}' is not taken: it would mount something else");
            else options.Add(new(key, equals < 0 ? null : flag[(equals + 1)..]));
        }
        if (attributes.HasFlag(MountAttributes.NoAccessTimes | MountAttributes.StrictAccessTimes))
        {
            throw new GrpcException(GrpcStatusCode.InvalidArgument, "mount flags noatime and strictatime exclude each other");
        }
        return new MountOptions(attributes, options);
    }
}
