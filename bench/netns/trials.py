"""What the proof of correctness runs over: pairs of tunnel ends, underlays, and which of them go together."""

from dataclasses import dataclass

from tunnels import (
    KernelVxlan, KernelVxlanWithoutChecksums, OverlayGeneveBareIp, OverlayGeneveTunnelGso, OverlayGeneveUdpGso, OverlayIpInIp,
    OverlayTunnelGso, OverlayUdpGso)

IPV6_OVERHEAD = 20  # bytes by which an outer IPv6 header is longer than an IPv4 one
PERTURBATION = ("--loss", "0.3", "--duplicate", "1", "--reorder", "2", "--mark", "5")
DAMAGE = ("--corrupt", "0.1")


@dataclass(frozen=True)
class Underlay:
    name: str
    mode: str
    mtu: int = 1500
    family: int = 4
    perturbed: bool = False


@dataclass(frozen=True)
class Pair:
    name: str
    a: type  # the tunnel of each host
    b: type

    @property
    def checksummed(self):
        """Whether every datagram has an outer UDP checksum."""
        return not {KernelVxlanWithoutChecksums, OverlayIpInIp} & {self.a, self.b}

    def runs_over(self, underlay):
        """Zero UDP checksums are for IPv4 only."""
        return underlay.family == 4 or KernelVxlanWithoutChecksums not in (self.a, self.b)

    def overhead(self, underlay):
        return max(self.a.overhead, self.b.overhead) + (IPV6_OVERHEAD if underlay.family == 6 else 0)

    def perturbation(self):
        """Frames are damaged only where a checksum covers an inner IPv6 header, which has none of its own."""
        return PERTURBATION + (DAMAGE if self.checksummed else ())

    @property
    def disturbances(self):
        """What the relay has to have counted, by its own names."""
        return ("lost", "duplicated", "reordered", "marked") + (("corrupted",) if self.checksummed else ())


UNDERLAYS = {underlay.name: underlay for underlay in (
    Underlay("wire-1500", "wire"),
    Underlay("veth-1500", "veth"),
    Underlay("wire-9000", "wire", 9000),
    Underlay("veth-9000", "veth", 9000),
    Underlay("wire-1500-ipv6", "wire", family=6),
    Underlay("veth-1500-ipv6", "veth", family=6),
    Underlay("wire-9000-ipv6", "wire", 9000, 6),
    Underlay("perturbed-1500", "wire", perturbed=True),
    Underlay("perturbed-9000", "wire", 9000, perturbed=True),
    Underlay("perturbed-1500-ipv6", "wire", family=6, perturbed=True),
)}

PAIRS = {pair.name: pair for pair in (
    Pair("kernel-vxlan", KernelVxlan, KernelVxlan),
    Pair("overlay-udp-gso", OverlayUdpGso, OverlayUdpGso),
    Pair("overlay-tunnel-gso", OverlayTunnelGso, OverlayTunnelGso),
    Pair("overlay-udp-gso-tunnel-gso", OverlayUdpGso, OverlayTunnelGso),
    Pair("overlay-geneve-udp-gso", OverlayGeneveUdpGso, OverlayGeneveUdpGso),
    Pair("overlay-geneve-tunnel-gso", OverlayGeneveTunnelGso, OverlayGeneveTunnelGso),
    Pair("overlay-geneve-bare-ip", OverlayGeneveBareIp, OverlayGeneveBareIp),
    Pair("overlay-ipip", OverlayIpInIp, OverlayIpInIp),
    Pair("overlay-udp-gso-kernel", OverlayUdpGso, KernelVxlan),
    Pair("overlay-tunnel-gso-kernel", OverlayTunnelGso, KernelVxlan),
    Pair("overlay-udp-gso-kernel-zero-checksum", OverlayUdpGso, KernelVxlanWithoutChecksums),
    Pair("overlay-tunnel-gso-kernel-zero-checksum", OverlayTunnelGso, KernelVxlanWithoutChecksums),
)}

SHORT = tuple((PAIRS[pair], UNDERLAYS[underlay]) for pair, underlay in (
    ("overlay-udp-gso", "wire-1500"),
    ("overlay-tunnel-gso", "veth-9000"),
    ("overlay-geneve-tunnel-gso", "wire-1500"),
    ("overlay-geneve-bare-ip", "wire-1500-ipv6"),
    ("overlay-ipip", "wire-1500"),
    ("overlay-tunnel-gso-kernel-zero-checksum", "wire-1500"),
    ("overlay-udp-gso", "perturbed-1500"),
    ("overlay-tunnel-gso", "perturbed-1500"),
))


def selection(pairs, underlays):
    """Every pair over every underlay that it runs over."""
    return [(pair, underlay) for underlay in underlays for pair in pairs if pair.runs_over(underlay)]
