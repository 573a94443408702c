using Overlay.Csi.Tools;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Formatting;

/// <summary>The programs of the file systems: made, checked, grown.</summary>
internal sealed class FileSystems(ToolRunner tools)
{
    /// <summary>Exit codes of e2fsck below this mean that the file system is sound now.</summary>
    private const int FsckErrorsLeft = 4;

    /// <param name="overwrites">Whether an earlier run of the same was cut short: without it, a signature stops the programs.</param>
    /// <param name="keepsSpace">Whether the device's space stays taken instead of being given back first.</param>
    /// <exception cref="GrpcException">INTERNAL: the program failed. DEADLINE_EXCEEDED: it was killed.</exception>
    public void Make(string type, string device, string options, bool overwrites, bool keepsSpace)
    {
        List<string> arguments = [.. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
        switch (type)
        {
            case "ext4":
                arguments.Add("-q");
                if (keepsSpace) arguments.AddRange(["-E", "nodiscard"]);
                if (overwrites) arguments.Add("-F");
                break;
            case "xfs":
                arguments.Add("-q");
                if (keepsSpace) arguments.Add("-K");
                if (overwrites) arguments.Add("-f");
                break;
            default:
                arguments.Add("-q");
                if (keepsSpace) arguments.Add("-K");
                if (overwrites) arguments.Add("-f");
                break;
        }
        tools.Check($"mkfs.{type}", [.. arguments, device]);
    }

    /// <summary>Repairs what can be without losing anything. xfs and btrfs do so when they are mounted.</summary>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: errors are left.</exception>
    public void Check(string type, string device, bool fully)
    {
        if (type != "ext4") return;
        ToolResult result = fully ? tools.Run("e2fsck", "-f", "-p", device) : tools.Run("e2fsck", "-p", device);
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
