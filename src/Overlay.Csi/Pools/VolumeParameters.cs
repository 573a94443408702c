using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Pools;

/// <summary>Parameters of a StorageClass.</summary>
/// <param name="Pool">Name of the pool; null: the first one.</param>
/// <param name="Reserved">Whether the pool's space is taken at once (<c>reservation: reserved</c>) or as it is written (<c>thin</c>).</param>
/// <param name="MkfsOptions">For the program that makes the file system.</param>
internal sealed record VolumeParameters(string? Pool, bool Reserved, string MkfsOptions)
{
    /// <summary>What the provisioner's <c>--extra-create-metadata</c> adds.</summary>
    private static readonly string[] Metadata =
        ["csi.storage.k8s.io/pvc/name", "csi.storage.k8s.io/pvc/namespace", "csi.storage.k8s.io/pv/name"];

    /// <exception cref="GrpcException">INVALID_ARGUMENT: a parameter or value that there is not.</exception>
    public static VolumeParameters Parse(IEnumerable<KeyValuePair<string, string>> parameters)
    {
        string? pool = null;
        bool reserved = false;
        string mkfs = "";
        foreach ((string key, string value) in parameters)
        {
            if (key == "pool") pool = value;
            else if (key == "mkfsOptions") mkfs = string.Join(' ', value.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            else if (key == "reservation" && value is "thin" or "reserved") reserved = value == "reserved";
            else if (key == "reservation") throw Invalid($"parameter reservation '{value}': choose thin or reserved");
            else if (!Metadata.Contains(key)) throw Invalid($"parameter '{key}' is unknown: there are pool, reservation and mkfsOptions");
        }
        return new VolumeParameters(pool, reserved, mkfs);
    }

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
}
