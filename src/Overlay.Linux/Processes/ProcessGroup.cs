using Overlay.Linux.Interop;

namespace Overlay.Linux.Processes;

/// <summary>A process and all that it started and that did not leave its group.</summary>
public static class ProcessGroup
{
    /// <summary>Ends all of the group at once (SIGKILL). Nothing happens where none is left.</summary>
    /// <param name="leader">Identifier of the process that leads it.</param>
    /// <exception cref="LinuxException">The kernel refuses.</exception>
    public static void Kill(int leader)
    {
        if (LibcStorage.Kill(-leader, StorageConstants.SIGKILL) == 0) return;
        var problem = LinuxException.Last($"kill of process group {leader}");
        if (problem.Errno != Errno.ESRCH) throw problem;
    }
}
