using System.Runtime.InteropServices;
using System.Text;
using Overlay.Linux.Interop;

namespace Overlay.Linux.Tap;

/// <summary>A descriptor of the TUN/TAP driver, non-blocking, attached to a device by name.</summary>
internal static unsafe class TunDescriptor
{
    private const int BaseFlags = Tun.IFF_TAP | Tun.IFF_NO_PI | Tun.IFF_VNET_HDR;

    /// <summary>Attaches to a TAP device with virtio-net headers, made if it does not exist.</summary>
    /// <param name="name">Interface name.</param>
    /// <param name="multiQueue">Whether the device has several queues. Set where a device that exists proves to have them.</param>
    /// <exception cref="ArgumentException">The name is not one an interface can have.</exception>
    /// <exception cref="LinuxException">The driver or the device is not to be had; the text says why.</exception>
    public static FileDescriptor Attach(string name, ref bool multiQueue)
    {
        IfReq request = default;
        if (Encoding.UTF8.GetByteCount(name) is 0 or >= Tun.IFNAMSIZ)
            throw new ArgumentException($"interface name '{name}' must have 1 to {Tun.IFNAMSIZ - 1} bytes", nameof(name));
        Encoding.UTF8.GetBytes(name, request.ifr_name);

        FileDescriptor descriptor = FileDescriptor.Own(
            Libc.Open("/dev/net/tun", Files.O_RDWR | Files.O_NONBLOCK | Files.O_CLOEXEC), "open /dev/net/tun");
        while (true)
        {
            request.ifr_flags = (short)(BaseFlags | (multiQueue ? Tun.IFF_MULTI_QUEUE : 0));
            if (Libc.Ioctl(descriptor.Number, Tun.TUNSETIFF, &request) >= 0) return descriptor;

            int errno = Marshal.GetLastSystemError();
            if (errno == Errno.EINVAL && !multiQueue)
            {
                // A persistent device that was made multi-queue takes a single queue, too, but only if asked for as multi-queue.
                multiQueue = true;
                continue;
            }
            descriptor.Dispose();
            throw new LinuxException($"TUNSETIFF {name}", errno, Remedy(errno, name));
        }
    }

    private static string Remedy(int errno, string name) => errno switch
    {
        Errno.EPERM => "CAP_NET_ADMIN is needed",
        Errno.EBUSY => $"another process has {name} open",
        Errno.EINVAL => $"an interface {name} exists that is not a TAP device with as many queues; delete it (ip link delete {name}) or choose another name",
        _ => "",
    };
}
