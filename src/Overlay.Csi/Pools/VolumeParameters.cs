using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Pools;

/// <summary>Parameters of a StorageClass.</summary>
/// <param name="Pool">Name of the pool; null: the first one.</param>
/// <param name="Reserved">Whether the pool's space is taken at once (<c>reservation: reserved</c>) or as it is written (<c>thin</c>).</param>
/// <param name="MkfsOptions">For the program that makes the file system.</param>
/// <param name="FileSystem">Type of the file system where the capabilities name none (<c>fsType</c>); null: the usual one.</param>
internal sealed record VolumeParameters(string? Pool, bool Reserved, string MkfsOptions, string? FileSystem)
{
    /// <summary>As the provisioner knows it; it then puts the type into the capabilities.</summary>
    private const string FileSystemKey = "csi.storage.k8s.io/fstype";

    /// <summary>What the provisioner's <c>--extra-create-metadata</c> adds.</summary>
    private static readonly string[] Metadata =
        ["csi.storage.k8s.io/pvc/name", "csi.storage.k8s.io/pvc/namespace", "csi.storage.k8s.io/pv/name"];

    /// <exception cref="GrpcException">INVALID_ARGUMENT: a parameter or value that there is not.</exception>
    public static VolumeParameters Parse(IEnumerable<KeyValuePair<string, string>> parameters)
    {
        string? pool = null;
        bool reserved = false;
        string mkfs = "";
        string? type = null;
        foreach ((string key, string value) in parameters)
        {
            if (key == "pool") pool = value;
            else if (key == "mkfsOptions") mkfs = string.Join(' ', value.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            else if (key == "reservation" && value is "thin" or "reserved") reserved = value == "reserved";
            else if (key == "reservation") throw Invalid($"parameter reservation '{value}': choose thin or reserved");
            else if (key is "fsType" or FileSystemKey && (type ?? value) == value) type = value;
            else if (key is "fsType" or FileSystemKey) throw Invalid($"parameter fsType '{value}': another parameter has '{type}'");
            else if (!Metadata.Contains(key)) throw Invalid($"parameter '{key}' is unknown: there are pool, fsType, reservation and mkfsOptions");
        }
        return new VolumeParameters(pool, reserved, mkfs, type);
    }

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
}
