using System.Globalization;
using Overlay.Csi.Node;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Static;

/// <summary>A volume that an administrator wrote into a PersistentVolume: its attributes and mount flags, checked.</summary>
/// <param name="Kind"><c>directory</c>, <c>nfs</c>, <c>cifs</c> or <c>tmpfs</c>.</param>
/// <param name="Source">Folder, <c>server:/export</c> or <c>//server/share</c>; <c>tmpfs</c> for a tmpfs.</param>
/// <param name="Options">Mount flags; those of the file system are all on the list of the kind.</param>
internal sealed record StaticVolume(string Kind, string Source, MountOptions Options)
{
    private static readonly Dictionary<string, string[]> AllowedOptions = new(StringComparer.Ordinal)
    {
        ["directory"] = [],
        ["tmpfs"] = ["mode", "nr_inodes", "uid", "gid"],
        ["nfs"] =
        [
            "vers", "nfsvers", "minorversion", "proto", "port", "timeo", "retrans", "rsize", "wsize", "hard", "soft", "softerr", "lock", "nolock",
            "ac", "noac", "acregmin", "acregmax", "acdirmin", "acdirmax", "actimeo", "sec", "nconnect", "cto", "nocto",
        ],
        ["cifs"] =
        [
            "vers", "uid", "gid", "file_mode", "dir_mode", "sec", "seal", "sign", "cache", "nobrl", "noperm", "serverino", "noserverino", "mfsymlinks",
            "actimeo", "iocharset", "port", "rsize", "wsize", "hard", "soft",
        ],
    };

    /// <summary>Attributes of ours; those of Kubernetes have a slash.</summary>
    private static readonly string[] Attributes = ["type", "source", "size"];

    /// <summary>Whether a volume's attributes say that it is one of these.</summary>
    public static bool Is(IReadOnlyDictionary<string, string> attributes) => attributes.ContainsKey("type");

    /// <exception cref="GrpcException">INVALID_ARGUMENT: an attribute or flag that is not taken. PERMISSION_DENIED: the source is not allowed.</exception>
    public static StaticVolume Parse(
        IReadOnlyDictionary<string, string> attributes, IEnumerable<string> flags, IReadOnlyList<AllowedSource> allowed)
    {
        string kind = attributes["type"];
        if (!AllowedOptions.TryGetValue(kind, out string[]? known)) throw Invalid($"volume attribute type '{kind}': choose {string.Join(", ", AllowedOptions.Keys)}");
        if (attributes.Keys.FirstOrDefault(key => !Attributes.Contains(key) && !key.Contains('/', StringComparison.Ordinal)) is { } unknown)
        {
            throw Invalid($"volume attribute '{unknown}' is unknown: there are {string.Join(", ", Attributes)}");
        }
        MountOptions options = MountOptions.Parse(flags);
        if (options.FileSystem.FirstOrDefault(option => !known.Contains(option.Key)) is { Key: { } option })
        {
            throw Invalid($"mount flag '{option}' is not taken for {kind}{(known.Length == 0 ? "" : $": there are {string.Join(", ", known)}")}");
        }
        string source = attributes.GetValueOrDefault("source", "");
        if (kind == "tmpfs") return Tmpfs(attributes, source, options, allowed);
        if (attributes.ContainsKey("size")) throw Invalid($"volume attribute size: {kind} has none");
        if (kind == "directory") source = Resolve(source);
        if (!allowed.Any(one => one.Allows(kind, source)))
        {
            throw new GrpcException(GrpcStatusCode.PermissionDenied, $"volume attribute source '{source}' is not allowed here: start the driver with --allow {kind}:SOURCE");
        }
        return new StaticVolume(kind, source, options);
    }

    private static StaticVolume Tmpfs(
        IReadOnlyDictionary<string, string> attributes, string source, MountOptions options, IReadOnlyList<AllowedSource> allowed)
    {
        string size = attributes.GetValueOrDefault("size", "");
        if (source.Length > 0) throw Invalid("volume attribute source: tmpfs has none");
        if (!AllowedSource.TryParseBytes(size, out long bytes)) throw Invalid($"volume attribute size '{size}': give bytes, or such as 64Mi");
        if (!allowed.Any(one => one.Kind == "tmpfs" && bytes <= one.MaxBytes))
        {
            throw new GrpcException(GrpcStatusCode.PermissionDenied, $"a tmpfs of {size} is not allowed here: start the driver with --allow tmpfs:SIZE");
        }
        return new StaticVolume("tmpfs", "tmpfs", options with { FileSystem = [.. options.FileSystem, new("size", bytes.ToString(CultureInfo.InvariantCulture))] });
    }

    /// <summary>Where the folder really is: a link must not lead out of what is allowed.</summary>
    private static string Resolve(string source)
    {
        if (!Path.IsPathFullyQualified(source)) throw Invalid($"volume attribute source '{source}': give an absolute path");
        return Linux.Mounts.MountTable.Resolve(source)
            ?? throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume attribute source '{source}' is no folder here; make it, or mount its disk");
    }

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
}
