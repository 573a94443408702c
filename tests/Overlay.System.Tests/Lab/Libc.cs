using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Overlay.SystemTests.Lab;

/// <summary>The two calls of the C library that .NET has no name for.</summary>
internal static class Libc
{
    public const int SignalHangUp = 1;
    public const int SignalInterrupt = 2;
    public const int SignalKill = 9;
    public const int SignalTerminate = 15;
    public const int SignalContinue = 18;

    private const int NewNetworkNamespace = 0x40000000;

    /// <summary>Moves the calling thread into a network namespace.</summary>
    public static void EnterNetworkNamespace(string path)
    {
        using var file = File.OpenHandle(path);
        if (setns(file.DangerousGetHandle().ToInt32(), NewNetworkNamespace) != 0) throw new Win32Exception($"setns {path}");
    }

    public static void Signal(int processId, int signal)
    {
        if (kill(processId, signal) != 0) throw new Win32Exception($"kill -{signal} {processId}");
    }

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int setns(int file, int kind);

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int kill(int processId, int signal);
}
