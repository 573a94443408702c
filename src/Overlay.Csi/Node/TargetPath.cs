using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Node;

/// <summary>The paths that the orchestrator names: checked, made, and cleared.</summary>
/// <param name="state">Folder of the records.</param>
/// <param name="pools">Folders of the images.</param>
/// <param name="socket">Of the driver. No target may be one of all these, contain one, or be among what the driver keeps in them.</param>
internal sealed class TargetPath(string state, IReadOnlyList<string> pools, string socket)
{
    /// <summary>What is in the folder of the records beside them.</summary>
    private static readonly string[] OwnNames = ["pools", "snapshots", "lock"];

    /// <summary>Parts of the names of records and images.</summary>
    private static readonly string[] OwnExtensions = [".json", ".img", ".trial"];

    private const int MaxBytes = 4096;
    private const int HoldersNamed = 5;

    /// <returns>The path in the one notation in which it is recorded and compared.</returns>
    /// <exception cref="GrpcException">INVALID_ARGUMENT: none, or one that cannot be.</exception>
    public string Check(string field, string path)
    {
        if (path.Length == 0) throw Invalid($"{field} is missing");
        if (System.Text.Encoding.UTF8.GetByteCount(path) > MaxBytes || path.Contains('\0', StringComparison.Ordinal)
            || !Path.IsPathFullyQualified(path) || Path.TrimEndingDirectorySeparator(path) != Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)))
        {
            throw Invalid($"{field} '{path}': give an absolute path without '.', '..' and doubled '/'");
        }
        string canonical = MountTable.Canonical(path);
        string[] own = [MountTable.Canonical(state), .. pools.Select(MountTable.Canonical)];
        if (canonical == "/" || own.Append(MountTable.Canonical(socket)).Any(mine => IsIn(mine, canonical)) || own.Any(folder => IsKept(folder, canonical)))
        {
            throw Invalid($"{field} '{path}' is or contains a folder of the driver, or is among its records or images");
        }
        return Path.TrimEndingDirectorySeparator(path);
    }

    /// <summary>A target in the staging path would be in the volume, and one that contains it would hide it.</summary>
    /// <exception cref="GrpcException">INVALID_ARGUMENT: one is the other, or is in it.</exception>
    public static void CheckApart(string staging, string target)
    {
        string volume = MountTable.Canonical(staging), pod = MountTable.Canonical(target);
        if (IsIn(volume, pod) || IsIn(pod, volume)) throw Invalid($"target_path '{target}' and staging_target_path '{staging}' are one, or one is in the other");
    }

    private bool IsKept(string folder, string path)
    {
        if (!path.StartsWith($"{folder}/", StringComparison.Ordinal)) return false;
        string name = path[(folder.Length + 1)..].Split('/')[0];
        return OwnExtensions.Any(extension => name.Contains(extension, StringComparison.Ordinal)) || (folder == MountTable.Canonical(state) && OwnNames.Contains(name));
    }

    private static bool IsIn(string path, string folder) => path == folder || path.StartsWith($"{folder}/", StringComparison.Ordinal);

    /// <summary>Makes the folder, or an empty file where a device's node is to be put.</summary>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: something else stands there.</exception>
    public static void Make(string path, bool isFile)
    {
        FileIdentity? present = FileIdentity.OfLink(path);
        FileKind wanted = isFile ? FileKind.Regular : FileKind.Folder;
        if (present is { } found && found.Kind != wanted)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{path} is there and is no {(isFile ? "file" : "folder")}; remove it");
        }
        if (present is not null) return;
        Directory.CreateDirectory(isFile ? Path.GetDirectoryName(path)! : path);
        if (isFile) File.Create(path).Dispose();
    }

    /// <summary>Unmounts all that is at the path.</summary>
    /// <exception cref="GrpcException">UNAVAILABLE: it is in use; the message names the processes.</exception>
    public static void Unmount(string path)
    {
        if (!Unmounting.All(path).IsBusy) return;
        IReadOnlyList<string> holders = Unmounting.Holders(path, HoldersNamed);
        string who = holders.Count > 0
            ? $": open by {string.Join(", ", holders)}; end them"
            : $", and nobody has it open that can be seen from here; where its file system hangs, 'umount --force {path}' ends what waits for it";
        throw new GrpcException(GrpcStatusCode.Unavailable, $"{path} is busy{who}; it is tried again");
    }

    /// <summary>Removes what <see cref="Make"/> made. What holds anything is kept.</summary>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: there is something in it.</exception>
    public static void Remove(string path)
    {
        if (FileIdentity.OfLink(path) is not { } present) return;
        if (present.Kind == FileKind.Folder)
        {
            if (Directory.EnumerateFileSystemEntries(path).Any()) throw Kept(path);
            Directory.Delete(path);
        }
        else
        {
            if (present.Kind != FileKind.Regular || present.Bytes > 0) throw Kept(path);
            File.Delete(path);
        }
    }

    private static GrpcException Kept(string path) =>
        new(GrpcStatusCode.FailedPrecondition, $"{path} holds something that is not of the volume; it is kept: move it away");

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
}
