using Microsoft.Win32.SafeHandles;
using Overlay.Linux.Interop;

namespace Overlay.Linux;

/// <summary>
/// An open file descriptor, closed with its owner. The packet path uses <see cref="Number"/> and relies on the owner to outlive it.
/// </summary>
public sealed class FileDescriptor : SafeHandleMinusOneIsInvalid
{
    private FileDescriptor(int number)
        : base(ownsHandle: true) => SetHandle(number);

    public int Number => (int)handle;

    /// <summary>Owns the descriptor that <paramref name="call"/> returned, or throws its error when it is negative.</summary>
    internal static FileDescriptor Own(int number, string call) => number >= 0 ? new FileDescriptor(number) : throw LinuxException.Last(call);

    protected override bool ReleaseHandle() => Libc.Close((int)handle) == 0;
}
