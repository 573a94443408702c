using System.Runtime.InteropServices;

namespace Overlay.Linux;

/// <summary>The kernel refused a call in set-up. Never thrown for a single packet.</summary>
public sealed class LinuxException : Exception
{
    /// <param name="call">The call and what it was about, such as <c>TUNSETIFF overlay0</c>.</param>
    /// <param name="errno">Positive error number.</param>
    public LinuxException(string call, int errno)
        : this(call, errno, "")
    {
    }

    /// <param name="call">The call and what it was about.</param>
    /// <param name="errno">Positive error number.</param>
    /// <param name="detail">What the kernel said beyond the number, or what to do about it; may be empty.</param>
    public LinuxException(string call, int errno, string detail)
        : base($"{call}: {Describe(errno)}{(detail.Length == 0 ? "" : $": {detail}")}")
    {
        Call = call;
        Errno = errno;
    }

    public string Call { get; }

    /// <summary>Positive error number.</summary>
    public int Errno { get; }

    /// <summary>True when what was to be made is there already (EEXIST).</summary>
    public bool AlreadyExists => Errno == Interop.Errno.EEXIST;

    /// <summary>True when what was meant is not there (ENOENT, ENODEV, ESRCH).</summary>
    public bool IsAbsent => Errno is Interop.Errno.ENOENT or Interop.Errno.ENODEV or Interop.Errno.ESRCH;

    /// <summary>True when somebody else uses what can have one user only (EBUSY).</summary>
    public bool IsInUse => Errno == Interop.Errno.EBUSY;

    /// <summary>True when the file system or device has no room left (ENOSPC).</summary>
    public bool IsNoSpace => Errno == Interop.Errno.ENOSPC;

    /// <summary>True when the kernel lacks what was asked for: the file system or device is unknown to it (ENODEV).</summary>
    public bool IsUnknownToKernel => Errno == Interop.Errno.ENODEV;

    /// <summary>True when an argument is none that the kernel takes (EINVAL).</summary>
    public bool IsInvalid => Errno == Interop.Errno.EINVAL;

    /// <summary>True when the file system is damaged (EUCLEAN).</summary>
    public bool IsDamaged => Errno == Interop.Errno.EUCLEAN;

    /// <summary>True when a device cannot be read or written (EIO).</summary>
    public bool IsUnreadable => Errno == Interop.Errno.EIO;

    /// <summary>The C library's words for an error number, and the number.</summary>
    internal static string Describe(int errno) => $"{Marshal.GetPInvokeErrorMessage(errno)} (errno {errno})";

    /// <summary>For the error of the call that just failed on this thread.</summary>
    internal static LinuxException Last(string call) => new(call, Marshal.GetLastSystemError());
}
