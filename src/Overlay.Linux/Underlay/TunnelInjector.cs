using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Runtime.InteropServices;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Egress;
using Overlay.Dataplane.Offload;
using Overlay.Linux.Interop;
using Overlay.Linux.Netlink;
using Overlay.Linux.Tap;

namespace Overlay.Linux.Underlay;

/// <summary>
/// A TAP device on the underlay side into which outer Ethernet frames with an unsegmented inner super-packet are written. The kernel
/// forwards them to the underlay and segments them inside the tunnel as late as it can. Needs Linux 6.17 and IPv4 outside. One worker
/// thread sends; any other may <see cref="Verify"/>.
/// </summary>
/// <remarks>
/// The frames carry this node's own source address. For the kernel to forward them the device accepts local sources
/// (<c>accept_local</c>), forwards whatever the rest of the host does (<c>forwarding</c>), and checks the reverse path loosely
/// (<c>rp_filter</c> 2, which outweighs a strict setting for all interfaces and needs the device to have an address). Nothing but the device
/// itself is configured, and that goes with it.
/// </remarks>
public sealed unsafe class TunnelInjector : IDisposable
{
    private const int Mtu = 65_500;
    private const uint TunnelOffloads = (uint)TapOffloads.All | Tun.TUN_F_UDP_TUNNEL_GSO | Tun.TUN_F_UDP_TUNNEL_GSO_CSUM;

    /// <summary>Link-local (RFC 3927), for the reverse path check only.</summary>
    private static readonly IPAddress DeviceAddress = new([169, 254, 77, 2]);

    private readonly FileDescriptor _descriptor;
    private readonly TunnelInjectorProbe _probe;

    private TunnelInjector(string name, FileDescriptor descriptor, IPAddress local, IPAddress probeTarget)
    {
        Name = name;
        _descriptor = descriptor;
        _probe = new TunnelInjectorProbe(local, probeTarget, descriptor.Number);
    }

    public string Name { get; }

    /// <summary>Makes the device ready in the calling thread's network namespace, and sends a super-packet through it.</summary>
    /// <param name="name">Interface name, at most 15 bytes.</param>
    /// <param name="local">The node's IPv4 underlay address: source of what will be sent.</param>
    /// <param name="injector">The device, or null where the kernel or its settings do not allow it.</param>
    /// <param name="refusal">Why not, for the log and status; null on success.</param>
    /// <exception cref="LinuxException">Set-up failed for another reason.</exception>
    public static bool TryOpen(
        string name,
        IPAddress local,
        [NotNullWhen(true)] out TunnelInjector? injector,
        [NotNullWhen(false)] out string? refusal)
    {
        injector = null;
        bool multiQueue = false;
        FileDescriptor descriptor = TunDescriptor.Attach(name, ref multiQueue);
        try
        {
            refusal = EnableTunnels(descriptor);
            if (refusal is not null) return false;
            refusal = Allow(name);
            if (refusal is not null) return false;
            IPAddress probeTarget = SetUp(name);
            var opened = new TunnelInjector(name, descriptor, local, probeTarget);
            refusal = opened.Verify();
            if (refusal is not null) return false;
            injector = opened;
            return true;
        }
        finally
        {
            if (injector is null) descriptor.Dispose();
        }
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

    /// <summary>Sends a super-packet to an address behind the device itself and waits for it, two seconds at most.</summary>
    /// <returns>Null when it came back; otherwise what is in the way. Packet filters and settings of the host may change at any time.</returns>
    public string? Verify() => _probe.Run(this);

    /// <summary>Removes the device.</summary>
    public void Dispose() => _descriptor.Dispose();

    private static string? EnableTunnels(FileDescriptor descriptor)
    {
        int headerSize = VirtioTunnelHeader.Size;
        if (Libc.Ioctl(descriptor.Number, Tun.TUNSETVNETHDRSZ, &headerSize) < 0) return Unsupported($"TUNSETVNETHDRSZ {headerSize}");
        return Libc.IoctlValue(descriptor.Number, Tun.TUNSETOFFLOAD, TunnelOffloads) < 0 ? Unsupported($"TUNSETOFFLOAD 0x{TunnelOffloads:x}") : null;
    }

    private static string Unsupported(string call) =>
        $"the kernel segments no UDP tunnels behind a TAP device, Linux 6.17 does ({call}: {LinuxException.Describe(Marshal.GetLastSystemError())})";

    /// <summary>Lets the kernel forward what comes in by the device.</summary>
    /// <returns>Null, or which setting cannot be had.</returns>
    private static string? Allow(string name) =>
        // Only IPv4 is injected; without an address of its own the device sends no router solicitations that nobody reads.
        Sysctl.TrySet($"net/ipv6/conf/{name}/addr_gen_mode", "1")
        ?? Sysctl.TrySet($"net/ipv4/conf/{name}/rp_filter", "2")
        ?? Sysctl.TrySet($"net/ipv4/conf/{name}/accept_local", "1")
        ?? Sysctl.TrySet($"net/ipv4/conf/{name}/forwarding", "1");

    /// <returns>An address that is routed to the device.</returns>
    private static IPAddress SetUp(string name)
    {
        using var netlink = new Rtnetlink();
        Link link = netlink.FindLink(name) ?? throw new LinuxException($"find link {name}", Errno.ENODEV);
        netlink.SetMac(link.Index, TunnelInjection.DeviceMac);
        netlink.SetMtu(link.Index, Mtu);
        netlink.AddAddress(new AssignedAddress(link.Index, DeviceAddress, 32) { Scope = AddressScope.Link });
        netlink.SetUp(link.Index, up: true);
        IPAddress probeTarget = TunnelInjectorProbe.TargetBehind(link.Index);
        netlink.SetNeighbour(new Neighbour(link.Index, probeTarget, TunnelInjection.SourceMac));
        netlink.ReplaceRoute(new Route(new IPNetwork(probeTarget, 32), link.Index));
        return probeTarget;
    }
}
