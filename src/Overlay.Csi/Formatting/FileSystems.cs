using Overlay.Csi.Tools;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Formatting;

/// <summary>The programs of the file systems: made, checked, grown.</summary>
internal sealed class FileSystems(ToolRunner tools)
{
    /// <summary>Exit codes of e2fsck below this mean that the file system is sound now.</summary>
    private const int FsckErrorsLeft = 4;

    /// <summary>Makes a file system, whatever is on the device: the caller knows that it may be overwritten.</summary>
    /// <param name="keepsSpace">Whether the device's space stays taken instead of being given back first.</param>
    /// <exception cref="GrpcException">INTERNAL: the program failed. DEADLINE_EXCEEDED: it was killed.</exception>
    public void Make(string type, string device, string uuid, string options, bool keepsSpace)
    {
        List<string> arguments = ["-q", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
        if (type == "ext4")
        {
            // Of several extended options, the last alone counts.
            int extended = arguments.LastIndexOf("-E") + 1;
            if (keepsSpace && extended > 0) arguments[extended] += ",nodiscard";
            else if (keepsSpace) arguments.AddRange(["-E", "nodiscard"]);
            arguments.AddRange(["-F", "-U", uuid]);
        }
        else
        {
            if (keepsSpace) arguments.Add("-K");
            arguments.AddRange(type == "xfs" ? ["-f", "-m", $"uuid={uuid}"] : ["-f", "-U", uuid]);
        }
        tools.Check($"mkfs.{type}", [.. arguments, device]);
    }

    /// <summary>What the program has against its options for a device of that size; null where it has nothing.</summary>
    /// <param name="file">Empty and of that size. Where the program has no trial, it makes its file system there.</param>
    public string? Refusal(string type, string file, string options)
    {
        string[] trial = type switch { "ext4" => ["-n", "-F"], "xfs" => ["-N", "-f"], _ => ["-f"] };
        ToolResult result = tools.Run($"mkfs.{type}", [.. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), "-q", .. trial, file]);
        return result.ExitCode == 0 ? null : $"mkfs.{type}: {(result.Errors.Length > 0 ? result.Errors : $"ended with {result.ExitCode}")}";
    }

    /// <summary>Repairs what can be without losing anything. xfs and btrfs do so when they are mounted.</summary>
    /// <param name="fully">Whether also one that says that it is sound is looked through.</param>
    /// <param name="wasCutShort">Whether <see cref="GrowOffline"/> was: what it leaves is more than is repaired unasked.</param>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: errors are left.</exception>
    public void Check(string type, string device, bool fully, bool wasCutShort)
    {
        if (type != "ext4") return;
        string[] options = wasCutShort ? ["-f", "-y"] : fully ? ["-f", "-p"] : ["-p"];
        ToolResult result = tools.Run("e2fsck", [.. options, device]);
        if (result.ExitCode < FsckErrorsLeft) return;
        throw new GrpcException(
            GrpcStatusCode.FailedPrecondition,
            $"e2fsck ended with {result.ExitCode}: {string.Join("; ", new[] { result.Output.ReplaceLineEndings("; "), result.Errors }.Where(text => text.Length > 0))}; copy the image, then repair it with e2fsck");
    }

    /// <summary>Grows a file system that is not mounted. Only ext4 can; it was checked fully before.</summary>
    public void GrowOffline(string device) => tools.Check("resize2fs", device);

    /// <summary>Grows a file system that is mounted to all of its device.</summary>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: it cannot be grown while it is mounted.</exception>
    public void GrowOnline(string type, string device, string mount)
    {
        ToolResult result = type switch
        {
            "xfs" => tools.Run("xfs_growfs", "-d", mount),
            "btrfs" => tools.Run("btrfs", "filesystem", "resize", "max", mount),
            _ => tools.Run("resize2fs", device),
        };
        if (result.ExitCode == 0) return;
        throw new GrpcException(
            GrpcStatusCode.FailedPrecondition,
            $"the {type} cannot be grown while it is mounted ({result.Errors}); it grows when it is staged the next time: delete its pods");
    }
}
