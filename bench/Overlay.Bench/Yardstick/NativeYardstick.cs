using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Overlay.Bench.Yardstick;

/// <summary>What a C compiler makes of the same work on this machine: <c>yardstick.c</c>, compiled when a benchmark asks for it.</summary>
internal static class NativeYardstick
{
    private const string Library = "yardstick";

    /// <summary>Compiles the library to where the loader looks for it. Call before any other method.</summary>
    /// <exception cref="InvalidOperationException">The compiler failed.</exception>
    public static void Build()
    {
        string Beside(string file) => Path.Combine(AppContext.BaseDirectory, file);
        using Process compiler = Process.Start(
            "gcc", ["-O3", "-march=native", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", Beside($"lib{Library}.so"), Beside($"{Library}.c")]);
        compiler.WaitForExit();
        if (compiler.ExitCode != 0) throw new InvalidOperationException($"gcc cannot compile {Beside($"{Library}.c")}");
    }

    /// <summary>Adds <paramref name="length"/> bytes to a partial sum, as <see cref="Overlay.Wire.InternetChecksum.Add"/> does.</summary>
    [DllImport(Library, EntryPoint = "yardstick_checksum"), SuppressGCTransition]
    public static extern ulong Checksum(nint data, nint length, ulong sum);

    /// <summary>Writes the headers of each TCP segment of a super-packet, with finished checksums.</summary>
    /// <param name="frame">Address of the super-packet's frame.</param>
    /// <param name="network">Offset of the IP header.</param>
    /// <param name="transport">Offset of the TCP header.</param>
    /// <param name="payload">Offset of the payload.</param>
    /// <param name="end">End of the payload.</param>
    /// <param name="size">Payload bytes a segment.</param>
    /// <param name="headers">Address of the first segment's headers.</param>
    /// <param name="slot">Bytes from one segment's headers to the next one's.</param>
    /// <returns>Segments written.</returns>
    [DllImport(Library, EntryPoint = "yardstick_segment"), SuppressGCTransition]
    public static extern int Segment(nint frame, int network, int transport, int payload, int end, int size, nint headers, int slot);
}
