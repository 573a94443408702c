"""Many peers on two hosts: the first host has each of them configured, the second is every one of them."""

from tunnels import KernelVxlan, Overlay

UNDERLAY_NETWORK = "198.18.0.0/15"
POD_NETWORK = "10.64.0.0/10"
FIRST_POD_NETWORK = "10.64.0.0/24"


class CrowdMember:
    """The peer of a number; a network of pods lives behind it. Number 0 is the second host under its own address."""

    def __init__(self, number):
        high, low = divmod(number, 256)
        self.name = f"peer-{number}"
        self.underlay_address = f"198.18.{high}.{low}"
        self.mac = f"02:00:00:01:{high:02x}:{low:02x}"
        self.pod_network = f"10.{64 + high}.{low}.0/24"
        self.gateway = f"10.{128 + high}.{low}.1"


def others(count):
    """All members of a crowd of that size but the first."""
    return [CrowdMember(number) for number in range(1, count)]


class PeerCrowd(KernelVxlan):
    """The second host's end: a kernel VXLAN device that answers to every underlay address and MAC of the crowd."""

    first_address = "10.64.0.0"

    def start(self):
        if self.host.execute("ip", "-o", "link", "show", "type", "vxlan"):
            return
        super().start()
        self.host.ip(f"route add local {UNDERLAY_NETWORK} dev lo",
                     f"route add {POD_NETWORK} via {self.host.pod_address()} dev pod0")
        # What is for the MAC of another member is for this host as well.
        self.host.execute(
            "nft", "add table netdev crowd; "
            "add chain netdev crowd everyone { type filter hook ingress device vxlan0 priority 0; }; "
            "add rule netdev crowd everyone meta pkttype set host")
        self.host.execute("ip", "-n", self.host.pod, "route", "add", "local", POD_NETWORK, "dev", "lo")


class OverlayCrowd(Overlay):
    """The first host's end, by overlayd."""

    def __init__(self, host, peer, directory, count):
        super().__init__(host, peer, directory)
        self._members = others(count)

    def start(self):
        self.host.ip(f"route replace {UNDERLAY_NETWORK} via {self.peer.underlay_address}")
        super().start()

    def peers(self):
        return super().peers() + [(member.name, member.underlay_address, member.mac) for member in self._members]

    def routes(self):
        return super().routes() + [(FIRST_POD_NETWORK, self.peer.name)] + [
            (member.pod_network, member.name) for member in self._members]


class KernelVxlanCrowd(KernelVxlan):
    """The first host's end, by a kernel VXLAN device with a forwarding entry, a neighbour and a route a peer."""

    def __init__(self, host, peer, directory, count):
        super().__init__(host, peer, directory)
        self._members = others(count)

    def start(self):
        if self.host.execute("ip", "-o", "link", "show", "type", "vxlan"):
            return
        super().start()
        lines = [f"route replace {UNDERLAY_NETWORK} via {self.peer.underlay_address}",
                 f"route replace {FIRST_POD_NETWORK} via {self.peer.tunnel_addresses[0]} dev vxlan0 onlink"]
        for member in self._members:
            lines += [f"neigh replace {member.gateway} lladdr {member.mac} dev vxlan0 nud permanent",
                      f"route replace {member.pod_network} via {member.gateway} dev vxlan0 onlink"]
        self.host.ip(*lines)
        if self._members:
            self.host.bridge(*(f"fdb append {member.mac} dev vxlan0 dst {member.underlay_address} self permanent"
                               for member in self._members))
