using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;

[assembly: DisableRuntimeMarshalling]

namespace Overlay.Linux.Interop;

/// <summary>
/// The C library. Nothing here sets the managed last error: that costs several times the call itself, so callers read
/// <see cref="Marshal.GetLastSystemError"/> at once, and only when a call failed.
/// </summary>
internal static unsafe partial class Libc
{
    private const string Library = "libc";

    [LibraryImport(Library, EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags);

    [LibraryImport(Library, EntryPoint = "close")]
    public static partial int Close(int descriptor);

    [LibraryImport(Library, EntryPoint = "ioctl")]
    public static partial int Ioctl(int descriptor, nuint request, void* argument);

    /// <summary>The form of ioctl whose argument is a number.</summary>
    [LibraryImport(Library, EntryPoint = "ioctl")]
    public static partial int IoctlValue(int descriptor, nuint request, nuint argument);

    [LibraryImport(Library, EntryPoint = "readv")]
    public static partial nint ReadVector(int descriptor, BufferSlice* slices, int count);

    [LibraryImport(Library, EntryPoint = "writev")]
    public static partial nint WriteVector(int descriptor, BufferSlice* slices, int count);

    [LibraryImport(Library, EntryPoint = "read")]
    public static partial nint Read(int descriptor, void* buffer, nuint length);

    [LibraryImport(Library, EntryPoint = "write")]
    public static partial nint Write(int descriptor, void* buffer, nuint length);

    [LibraryImport(Library, EntryPoint = "fsync")]
    public static partial int FileSync(int descriptor);

    [LibraryImport(Library, EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Statx(int folder, string path, int flags, uint mask, StatxBuffer* buffer);

    [LibraryImport(Library, EntryPoint = "socket")]
    public static partial int Socket(int family, int type, int protocol);

    [LibraryImport(Library, EntryPoint = "bind")]
    public static partial int Bind(int descriptor, void* address, uint length);

    [LibraryImport(Library, EntryPoint = "getsockname")]
    public static partial int GetSocketName(int descriptor, void* address, uint* length);

    [LibraryImport(Library, EntryPoint = "getsockopt")]
    public static partial int GetSocketOption(int descriptor, int level, int option, void* value, uint* length);

    [LibraryImport(Library, EntryPoint = "setsockopt")]
    public static partial int SetSocketOption(int descriptor, int level, int option, void* value, uint length);

    [LibraryImport(Library, EntryPoint = "send")]
    public static partial nint Send(int descriptor, void* buffer, nuint length, int flags);

    [LibraryImport(Library, EntryPoint = "recv")]
    public static partial nint Receive(int descriptor, void* buffer, nuint length, int flags);

    [LibraryImport(Library, EntryPoint = "sendmmsg")]
    public static partial int SendMessages(int descriptor, MMsgHdr* messages, uint count, int flags);

    [LibraryImport(Library, EntryPoint = "recvmmsg")]
    public static partial int ReceiveMessages(int descriptor, MMsgHdr* messages, uint count, int flags, void* timeout);

    [LibraryImport(Library, EntryPoint = "poll")]
    public static partial int Poll(PollFd* descriptors, nuint count, int timeoutMilliseconds);

    [LibraryImport(Library, EntryPoint = "eventfd")]
    public static partial int EventFd(uint initial, int flags);

    /// <summary>Moves the calling thread into the namespace that a descriptor stands for.</summary>
    [LibraryImport(Library, EntryPoint = "setns")]
    public static partial int SetNamespace(int descriptor, int kind);

    /// <summary>Moves the calling thread into a new namespace.</summary>
    [LibraryImport(Library, EntryPoint = "unshare")]
    public static partial int Unshare(int kind);

    [LibraryImport(Library, EntryPoint = "if_nametoindex", StringMarshalling = StringMarshalling.Utf8)]
    public static partial uint InterfaceNameToIndex(string name);

    [LibraryImport(Library, EntryPoint = "clock_gettime")]
    public static partial int GetTime(int clock, Timespec* time);

    [LibraryImport(Library, EntryPoint = "capget")]
    public static partial int CapabilityGet(UserCapHeader* header, UserCapData* data);
}
