using System.Runtime.InteropServices;

namespace Overlay.Linux.Interop;

/// <summary>Files, mounts and processes of the C library; as <see cref="Libc"/>. The calls that make mounts are of glibc 2.36.</summary>
internal static unsafe partial class LibcStorage
{
    private const string Library = "libc";

    [LibraryImport(Library, EntryPoint = "lseek")]
    public static partial long Seek(int descriptor, long offset, int whence);

    [LibraryImport(Library, EntryPoint = "pread")]
    public static partial nint ReadAt(int descriptor, void* buffer, nuint length, long offset);

    [LibraryImport(Library, EntryPoint = "copy_file_range")]
    public static partial nint CopyRange(int from, long* fromOffset, int to, long* toOffset, nuint length, uint flags);

    [LibraryImport(Library, EntryPoint = "fallocate")]
    public static partial int Allocate(int descriptor, int mode, long offset, long length);

    [LibraryImport(Library, EntryPoint = "ftruncate")]
    public static partial int SetLength(int descriptor, long length);

    [LibraryImport(Library, EntryPoint = "syncfs")]
    public static partial int SyncFileSystem(int descriptor);

    [LibraryImport(Library, EntryPoint = "fstatvfs")]
    public static partial int FileSystemUsage(int descriptor, StatVfs* usage);

    [LibraryImport(Library, EntryPoint = "fsopen", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int OpenFileSystem(string type, uint flags);

    [LibraryImport(Library, EntryPoint = "fsconfig", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int ConfigureFileSystem(int descriptor, uint command, string? key, string? value, int auxiliary);

    [LibraryImport(Library, EntryPoint = "fsmount")]
    public static partial int MountFileSystem(int descriptor, uint flags, uint attributes);

    [LibraryImport(Library, EntryPoint = "move_mount", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int MoveMount(int from, string fromPath, int to, string toPath, uint flags);

    [LibraryImport(Library, EntryPoint = "open_tree", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int OpenTree(int folder, string path, uint flags);

    [LibraryImport(Library, EntryPoint = "mount_setattr", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int SetMountAttributes(int folder, string path, uint flags, MountAttr* attributes, nuint size);

    [LibraryImport(Library, EntryPoint = "umount2", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Unmount(string target, int flags);

    [LibraryImport(Library, EntryPoint = "flock")]
    public static partial int Lock(int descriptor, int operation);

    [LibraryImport(Library, EntryPoint = "kill")]
    public static partial int Kill(int process, int signal);
}
