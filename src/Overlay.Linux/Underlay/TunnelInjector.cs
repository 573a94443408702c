using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
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
/// forwards them to the underlay and segments them inside the tunnel as late as it can. Needs Linux 6.17. One worker thread sends; any one
/// other may <see cref="Verify"/>.
/// </summary>
/// <remarks>
/// The frames carry this node's own source address. For the kernel to forward them the device accepts local sources over IPv4
/// (<c>accept_local</c>), forwards whatever the rest of the host does (<c>forwarding</c>, for IPv6 <c>force_forwarding</c>), and checks the
/// reverse path loosely (<c>rp_filter</c> 2, which outweighs a strict setting for all interfaces and needs the device to have an address).
/// Nothing but the device itself is configured, and that goes with it.
/// </remarks>
public sealed unsafe class TunnelInjector : IDisposable
{
    private const int Mtu = 65_500;
    private const uint TunnelOffloads = (uint)TapOffloads.All | Tun.TUN_F_UDP_TUNNEL_GSO | Tun.TUN_F_UDP_TUNNEL_GSO_CSUM;

    /// <summary>Link-local (RFC 3927), for the reverse path check only.</summary>
    private static readonly IPAddress DeviceAddress = new([169, 254, 77, 2]);

    private readonly FileDescriptor _descriptor;
    private readonly TunnelInjectorProbe _probe;

    private TunnelInjector(string name, FileDescriptor descriptor, int interfaceIndex, IReadOnlyList<IPAddress> locals)
    {
        Name = name;
        _descriptor = descriptor;
        _probe = new TunnelInjectorProbe(locals, interfaceIndex, descriptor.Number);
    }

    public string Name { get; }

    /// <summary>Outer families whose super-packets the last <see cref="Verify"/> found to get through.</summary>
    public TunnelOffload Families { get; private set; }

    /// <summary>Makes the device ready in the calling thread's network namespace, and sends a super-packet of each family through it.</summary>
    /// <param name="name">Interface name, at most 15 bytes.</param>
    /// <param name="locals">The node's underlay addresses, one a family and none link-local: sources of what will be sent.</param>
    /// <param name="injector">The device, or null where the kernel or its settings do not allow any family.</param>
    /// <param name="refusal">Why not all families, for the log and status; null where all work.</param>
    /// <exception cref="LinuxException">Set-up failed for another reason, such as another process that has the device.</exception>
    public static bool TryOpen(
        string name,
        IReadOnlyList<IPAddress> locals,
        [NotNullWhen(true)] out TunnelInjector? injector,
        [NotNullWhen(false)] out string? refusal)
    {
        injector = null;
        bool multiQueue = false;
        FileDescriptor descriptor = TunDescriptor.Attach(name, ref multiQueue);
        TunnelInjector? opened = null;
        try
        {
            refusal = EnableTunnels(descriptor);
            if (refusal is not null) return false;
            List<string> forbidden = [];
            IPAddress[] allowed = [.. locals.Where(local => Allowed(name, local.AddressFamily, forbidden))];
            if (allowed.Length > 0)
            {
                opened = new TunnelInjector(name, descriptor, SetUp(name, allowed), allowed);
                if (opened.Verify() is { } lost) forbidden.Add(lost);
                if (opened.Families != TunnelOffload.None) injector = opened;
            }
            refusal = forbidden.Count == 0 ? null : string.Join("; ", forbidden);
            return injector is not null;
        }
        finally
        {
            if (injector is null)
            {
                opened?._probe.Dispose();
                descriptor.Dispose();
            }
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

    /// <summary>Sends a super-packet of each family to an address behind the device itself and waits for them, two seconds at most.</summary>
    /// <param name="stop">Ends the wait; what is returned then is worth nothing.</param>
    /// <returns>Null when all came back; otherwise what is in the way. Packet filters and settings of the host may change at any time.</returns>
    public string? Verify(CancellationToken stop = default)
    {
        Families = _probe.Run(this, stop, out string? refusal);
        return refusal;
    }

    /// <summary>Removes the device. Nobody may <see cref="Verify"/> any more.</summary>
    public void Dispose()
    {
        _probe.Dispose();
        _descriptor.Dispose();
    }

    private static string? EnableTunnels(FileDescriptor descriptor)
    {
        int headerSize = VirtioTunnelHeader.Size;
        if (Libc.Ioctl(descriptor.Number, Tun.TUNSETVNETHDRSZ, &headerSize) < 0) return Unsupported($"TUNSETVNETHDRSZ {headerSize}");
        return Libc.IoctlValue(descriptor.Number, Tun.TUNSETOFFLOAD, TunnelOffloads) < 0 ? Unsupported($"TUNSETOFFLOAD 0x{TunnelOffloads:x}") : null;
    }

    private static string Unsupported(string call) =>
        $"the kernel segments no UDP tunnels behind a TAP device, Linux 6.17 does ({call}: {LinuxException.Describe(Marshal.GetLastSystemError())})";

    /// <summary>Lets the kernel forward what comes in by the device.</summary>
    private static bool Allowed(string name, AddressFamily family, List<string> refusals)
    {
        string? refusal = family == AddressFamily.InterNetwork ? AllowV4(name) : AllowV6(name);
        if (refusal is not null) refusals.Add(refusal);
        return refusal is null;
    }

    private static string? AllowV4(string name) =>
        // Without an address of its own the device sends no router solicitations that nobody reads.
        Sysctl.TrySet($"net/ipv6/conf/{name}/addr_gen_mode", "1")
        ?? Sysctl.TrySet($"net/ipv4/conf/{name}/rp_filter", "2")
        ?? Sysctl.TrySet($"net/ipv4/conf/{name}/accept_local", "1")
        ?? Sysctl.TrySet($"net/ipv4/conf/{name}/forwarding", "1");

    private static string? AllowV6(string name)
    {
        string device = $"net/ipv6/conf/{name}";
        if (Sysctl.TrySet($"{device}/addr_gen_mode", "1") is { } kept) return kept;
        if (Sysctl.TrySet($"{device}/disable_ipv6", "0") is { } disabled) return disabled;
        const string Everywhere = "net/ipv6/conf/all/forwarding";
        return Sysctl.Read($"{device}/force_forwarding") is null && Sysctl.Read(Everywhere) != "1"
            ? $"the kernel forwards IPv6 for no single device (force_forwarding, Linux 6.17), and {Everywhere} is not 1"
            : Sysctl.TrySet($"{device}/force_forwarding", "1");
    }

    /// <returns>Index of the device, which the probe's targets are routed to.</returns>
    private static int SetUp(string name, IReadOnlyList<IPAddress> locals)
    {
        using var netlink = new Rtnetlink();
        Link link = netlink.FindLink(name) ?? throw new LinuxException($"find link {name}", Errno.ENODEV);
        netlink.SetMac(link.Index, TunnelInjection.DeviceMac);
        netlink.SetMtu(link.Index, Mtu);
        netlink.AddAddress(new AssignedAddress(link.Index, DeviceAddress, 32) { Scope = AddressScope.Link });
        netlink.SetUp(link.Index, up: true);
        foreach (IPAddress local in locals)
        {
            IPAddress target = TunnelInjectorProbe.TargetBehind(link.Index, local.AddressFamily);
            netlink.SetNeighbour(new Neighbour(link.Index, target, TunnelInjection.SourceMac));
            netlink.ReplaceRoute(new Route(new IPNetwork(target, target.AddressFamily == AddressFamily.InterNetwork ? 32 : 128), link.Index));
        }
        return link.Index;
    }
}
