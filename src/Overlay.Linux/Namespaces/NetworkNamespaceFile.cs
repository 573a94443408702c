using Overlay.Linux.Interop;
using Overlay.Linux.Storage;

namespace Overlay.Linux.Namespaces;

/// <summary>A network namespace, held open by its file (network_namespaces(7)): it lives on while this does.</summary>
public sealed class NetworkNamespaceFile : IDisposable
{
    private const string OfThisThread = "/proc/thread-self/ns/net";

    private NetworkNamespaceFile(string path, FileDescriptor descriptor, FileIdentity identity)
    {
        Path = path;
        Descriptor = descriptor;
        Identity = identity;
    }

    public string Path { get; }

    /// <summary>Which namespace it is, whatever path leads to it.</summary>
    public FileIdentity Identity { get; }

    internal FileDescriptor Descriptor { get; }

    /// <summary>Opens the file of a namespace; null where there is none, or where it is no namespace any more.</summary>
    /// <exception cref="LinuxException">It cannot be opened.</exception>
    public static NetworkNamespaceFile? Open(string path)
    {
        // A pipe in its place would otherwise be waited for.
        int number = Libc.Open(path, Files.O_CLOEXEC | Files.O_NONBLOCK);
        if (number < 0)
        {
            var problem = LinuxException.Last($"open {path}");
            // ESRCH: the process under /proc has ended.
            return problem.Errno is Errno.ENOENT or Errno.ESRCH or Errno.ENOTDIR or Errno.ENXIO ? null : throw problem;
        }
        FileDescriptor descriptor = FileDescriptor.Own(number, $"open {path}");
        if (!IsNamespace(number) || FileIdentity.Of($"/proc/self/fd/{number}") is not { } identity)
        {
            descriptor.Dispose();
            return null;
        }
        return new NetworkNamespaceFile(path, descriptor, identity);
    }

    /// <summary>The namespace that the calling thread is in.</summary>
    public static NetworkNamespaceFile Current() =>
        Open(OfThisThread) ?? throw new LinuxException($"open {OfThisThread}", Errno.ENOENT);

    /// <summary>
    /// Runs something on the calling thread inside the namespace, and has the thread back in <paramref name="home"/> afterwards. The caller's
    /// thread must be its own: on one of a pool, nothing may run that does not expect it.
    /// </summary>
    /// <exception cref="LinuxException">The namespace cannot be entered.</exception>
    public T Run<T>(NetworkNamespaceFile home, Func<T> action)
    {
        Enter();
        try
        {
            return action();
        }
        finally
        {
            home.Enter();
        }
    }

    public void Dispose() => Descriptor.Dispose();

    private void Enter()
    {
        if (Libc.SetNamespace(Descriptor.Number, Files.CLONE_NEWNET) < 0) throw LinuxException.Last($"setns {Path}");
    }

    /// <summary>A file that a namespace was mounted on is a plain one again after the unmount.</summary>
    private static bool IsNamespace(int number) => Libc.IoctlValue(number, Files.NS_GET_NSTYPE, 0) == Files.CLONE_NEWNET;
}
