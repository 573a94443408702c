"""The variants that can be compared, by name."""

from dataclasses import dataclass

from tunnels import (
    KernelVxlan, OpenVSwitch, OpenVSwitchGeneve, OverlayGeneveTunnelGso, OverlayIpInIp, OverlayIpInIpTwoQueues, OverlayTunnelGso, OverlayUdpGso, Routed,
    WireGuardGo)

BARE = "bare"
KERNEL = "kernel-vxlan"


@dataclass(frozen=True)
class Variant:
    name: str
    title: str
    a: type  # the tunnel of each host
    b: type
    workloads: tuple = ()  # empty: all
    quick: bool = True  # whether --quick has it unless variants are named

    @property
    def overhead(self):
        return max(self.a.overhead, self.b.overhead)

    def missing(self):
        return self.a.missing() or self.b.missing()


DIRECTIONS = ("tcp1", "tcp1-reverse")

VARIANTS = (
    Variant(BARE, "bare veth, routed", Routed, Routed),
    Variant(KERNEL, "kernel VXLAN", KernelVxlan, KernelVxlan),
    Variant("overlay-udp-gso", "Overlay VXLAN, udp-gso", OverlayUdpGso, OverlayUdpGso),
    Variant("overlay-tunnel-gso", "Overlay VXLAN, tunnel-gso", OverlayTunnelGso, OverlayTunnelGso),
    Variant("overlay-geneve", "Overlay Geneve, tunnel-gso", OverlayGeneveTunnelGso, OverlayGeneveTunnelGso),
    Variant("overlay-ipip", "Overlay IP-in-IP", OverlayIpInIp, OverlayIpInIp),
    Variant("overlay-ipip-2q", "Overlay IP-in-IP, two queues", OverlayIpInIpTwoQueues, OverlayIpInIpTwoQueues, quick=False),
    Variant("overlay-udp-gso-kernel", "Overlay udp-gso ↔ kernel VXLAN", OverlayUdpGso, KernelVxlan, DIRECTIONS, quick=False),
    Variant("overlay-tunnel-gso-kernel", "Overlay tunnel-gso ↔ kernel VXLAN", OverlayTunnelGso, KernelVxlan, DIRECTIONS),
    Variant("ovs-userspace", "Open vSwitch userspace VXLAN", OpenVSwitch, OpenVSwitch),
    Variant("ovs-userspace-geneve", "Open vSwitch userspace Geneve", OpenVSwitchGeneve, OpenVSwitchGeneve, quick=False),
    Variant("wireguard-go", "wireguard-go (encrypts)", WireGuardGo, WireGuardGo),
)


def by_name(names):
    """The variants of the given names, in the order of the table; the baselines are always among them."""
    known = {variant.name for variant in VARIANTS}
    for name in names:
        if name not in known:
            raise ValueError(f"{name}: no such variant; there are {', '.join(sorted(known))}")
    return [variant for variant in VARIANTS if variant.name in names or variant.name in (BARE, KERNEL)]
