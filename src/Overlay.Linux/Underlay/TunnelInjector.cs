using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Linux.Interop;
using Overlay.Linux.Netlink;
using Overlay.Linux.Tap;
using Overlay.Wire;

namespace Overlay.Linux.Underlay;

/// <summary>
/// A TAP device on the underlay side into which outer Ethernet frames with an unsegmented inner super-packet are written. The kernel
/// forwards them to the underlay and segments them inside the tunnel as late as it can. Needs Linux 6.17 and IPv4 outside. One worker
/// thread sends.
/// </summary>
public sealed unsafe class TunnelInjector : IDisposable
{
    /// <summary>Bytes of the header before each frame: <c>struct virtio_net_hdr_v1_hash_tunnel</c>, virtio 1.4, 5.1.6.</summary>
    public const int HeaderSize = 24;

    private const int Mtu = 65_500;
    private const uint TunnelOffloads = (uint)TapOffloads.All | Tun.TUN_F_UDP_TUNNEL_GSO | Tun.TUN_F_UDP_TUNNEL_GSO_CSUM;

    private readonly FileDescriptor _descriptor;
    private readonly Sysctl _sysctl;

    private TunnelInjector(string name, FileDescriptor descriptor, Sysctl sysctl)
    {
        Name = name;
        _descriptor = descriptor;
        _sysctl = sysctl;
    }

    /// <summary>The device's address: Ethernet destination of every frame sent.</summary>
    public static MacAddress DeviceMac => TunnelInjection.DeviceMac;

    public string Name { get; }

    /// <summary>Kernel parameters that were changed, undone on <see cref="Dispose"/>.</summary>
    public IReadOnlyList<SysctlChange> Changes => _sysctl.Changes;

    /// <summary>Makes the device ready in the calling thread's network namespace.</summary>
    /// <param name="options">Name and permission.</param>
    /// <param name="injector">The device, or null where the kernel or the namespace's settings do not allow it.</param>
    /// <param name="refusal">Why not, for the log and status; null on success.</param>
    /// <exception cref="LinuxException">Set-up failed for another reason.</exception>
    public static bool TryOpen(
        TunnelInjectorOptions options,
        [NotNullWhen(true)] out TunnelInjector? injector,
        [NotNullWhen(false)] out string? refusal)
    {
        injector = null;
        const string GlobalFilter = "net/ipv4/conf/all/rp_filter";
        if (!options.MayDisableReversePathFilter && Sysctl.Read(GlobalFilter) is { } value && value != "0")
        {
            refusal = $"{GlobalFilter} is {value} and drops injected packets; set it to 0 or allow it to be changed";
            return false;
        }

        bool multiQueue = false;
        FileDescriptor descriptor = TunDescriptor.Attach(options.Name, ref multiQueue);
        var sysctl = new Sysctl();
        try
        {
            refusal = EnableTunnels(descriptor);
            if (refusal is null)
            {
                SetUp(options.Name, sysctl);
                if (options.MayDisableReversePathFilter) sysctl.Set(GlobalFilter, "0");
                injector = new TunnelInjector(options.Name, descriptor, sysctl);
                return true;
            }
        }
        finally
        {
            if (injector is null)
            {
                sysctl.Dispose();
                descriptor.Dispose();
            }
        }
        return false;
    }

    /// <summary>Injects one frame: tunnel virtio-net header, outer headers, tunnel header, inner super-packet.</summary>
    public SendOutcome Send(ReadOnlySpan<BufferSlice> slices)
    {
        fixed (BufferSlice* vector = slices)
        {
            return Libc.WriteVector(_descriptor.Number, vector, slices.Length) >= 0
                ? SendOutcome.Sent
                : UdpSender.Outcome(Marshal.GetLastSystemError());
        }
    }

    /// <summary>Removes the device and restores the kernel parameters.</summary>
    public void Dispose()
    {
        _sysctl.Dispose();
        _descriptor.Dispose();
    }

    private static string? EnableTunnels(FileDescriptor descriptor)
    {
        int headerSize = HeaderSize;
        if (Libc.Ioctl(descriptor.Number, Tun.TUNSETVNETHDRSZ, &headerSize) < 0) return Unsupported($"TUNSETVNETHDRSZ {HeaderSize}");
        return Libc.IoctlValue(descriptor.Number, Tun.TUNSETOFFLOAD, TunnelOffloads) < 0 ? Unsupported($"TUNSETOFFLOAD 0x{TunnelOffloads:x}") : null;
    }

    private static string Unsupported(string call) =>
        $"the kernel segments no UDP tunnels behind a TAP device, Linux 6.17 does ({call}: {LinuxException.Describe(Marshal.GetLastSystemError())})";

    private static void SetUp(string name, Sysctl sysctl)
    {
        // Only IPv4 is injected; without an address of its own the device sends no router solicitations that nobody reads.
        if (Sysctl.Read($"net/ipv6/conf/{name}/addr_gen_mode") is not null) sysctl.Set($"net/ipv6/conf/{name}/addr_gen_mode", "1");
        sysctl.Set($"net/ipv4/conf/{name}/rp_filter", "0");
        sysctl.Set($"net/ipv4/conf/{name}/accept_local", "1");
        sysctl.Set($"net/ipv4/conf/{name}/forwarding", "1");
        using var netlink = new Rtnetlink();
        Link link = netlink.FindLink(name) ?? throw new LinuxException($"find link {name}", Errno.ENODEV);
        netlink.SetMac(link.Index, DeviceMac);
        netlink.SetMtu(link.Index, Mtu);
        netlink.SetUp(link.Index, up: true);
    }
}
