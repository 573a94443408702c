using System.ComponentModel;
using System.Diagnostics;
using Overlay.Linux.Processes;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Tools;

/// <summary>What a program that ended printed.</summary>
/// <param name="Errors">Standard error, on one line.</param>
internal sealed record ToolResult(int ExitCode, string Output, string Errors);

/// <summary>
/// Runs the programs that know the file systems. Each has a process group of its own, is killed with it at the deadline, and does not
/// outlive the driver. No call returns before its program was reaped.
/// </summary>
/// <param name="deadline">Time that a program may take.</param>
internal sealed class ToolRunner(TimeSpan deadline)
{
    /// <summary>Debian packages: util-linux, e2fsprogs, xfsprogs, btrfs-progs.</summary>
    private static readonly string[] Needed =
        ["setsid", "setpriv", "blkid", "mkfs.ext4", "e2fsck", "resize2fs", "mkfs.xfs", "xfs_growfs", "mkfs.btrfs", "btrfs"];

    private static readonly TimeSpan OutputPatience = TimeSpan.FromSeconds(1);

    /// <summary>Names of the programs that are not on the path.</summary>
    public static IReadOnlyList<string> Missing()
    {
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries);
        return [.. Needed.Where(tool => !folders.Any(folder => File.Exists(Path.Combine(folder, tool))))];
    }

    /// <exception cref="GrpcException">
    /// FAILED_PRECONDITION: there is no such program. DEADLINE_EXCEEDED: it took too long, and was killed.
    /// </exception>
    public ToolResult Run(string program, params string[] arguments)
    {
        using Process process = Start(program, arguments);
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(deadline))
        {
            ProcessGroup.Kill(process.Id);
            process.WaitForExit(Timeout.InfiniteTimeSpan);
            throw new GrpcException(GrpcStatusCode.DeadlineExceeded, $"{program} took more than {deadline.TotalSeconds:0} s and was killed; see whether the disk answers");
        }
        // A process that left the group may still have the pipes.
        Task.WaitAll([output, errors], OutputPatience);
        return new ToolResult(process.ExitCode, TextOf(output), TextOf(errors).ReplaceLineEndings("; ").TrimEnd(';', ' '));
    }

    /// <exception cref="GrpcException">As <see cref="Run"/>; INTERNAL: it ended with another code than 0.</exception>
    public void Check(string program, params string[] arguments)
    {
        ToolResult result = Run(program, arguments);
        if (result.ExitCode != 0) throw new GrpcException(GrpcStatusCode.Internal, $"{program} ended with {result.ExitCode}: {result.Errors}");
    }

    private static string TextOf(Task<string> text) => text.IsCompletedSuccessfully ? text.GetAwaiter().GetResult().Trim() : "";

    private static Process Start(string program, string[] arguments)
    {
        try
        {
            // The death of the parent is that of the thread that starts it: this one, which waits for the program.
            return Process.Start(new ProcessStartInfo("setsid", ["setpriv", "--pdeathsig", "KILL", "--", program, .. arguments])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                Environment = { ["LC_ALL"] = "C" },
            })!;
        }
        catch (Win32Exception exception)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{program} cannot be run: {exception.Message}; install util-linux", exception);
        }
    }
}
