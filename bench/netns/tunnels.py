"""How each variant carries the pods' packets between two hosts. A tunnel is one host's end of it."""

import os
import shutil

from lab import LabError, resident_kib, run, stop_process, wait_until

VNI = 42
PORT = 4789
GENEVE_PORT = 6081
START_SECONDS = 20


class Tunnel:
    """One end. `start` makes the peer's pods reachable, `stop` undoes what a daemon did and may do nothing else."""

    overhead = 50

    def __init__(self, host, peer, directory):
        self.host = host
        self.peer = peer
        self.directory = directory
        self.daemon = None

    @classmethod
    def missing(cls):
        """What has to be installed before this tunnel can run, or None."""
        return None

    def start(self):
        raise NotImplementedError

    def stop(self):
        if self.daemon is not None:
            stop_process(self.daemon)
            self.daemon = None

    def resident_kib(self):
        return None if self.daemon is None else resident_kib(self.daemon)

    def _route_over(self, device, neighbour_mac=None):
        """Routes to the peer's pods by way of its tunnel device, with a permanent neighbour, as Flannel does."""
        lines = []
        for network, gateway in zip(self.peer.pod_networks, self.peer.tunnel_addresses):
            via = f"via {gateway} dev {device} onlink" if neighbour_mac else f"dev {device}"
            lines.append(f"route replace {network} {via}")
            if neighbour_mac:
                lines.append(f"neigh replace {gateway} lladdr {neighbour_mac} dev {device} nud permanent")
        self.host.ip(*lines)

    def _run_daemon(self, command, name, ready, environment=()):
        """Starts a daemon and waits until `ready(log text)` holds."""
        path = os.path.join(self.directory, f"{name}-{self.host.name}.log")
        with open(path, "w") as log:
            process = self.host.start([*(("env", *environment) if environment else ()), *command], log)

        def text():
            with open(path) as log:
                return log.read()

        in_time = wait_until(lambda: process.poll() is not None or ready(text()), START_SECONDS)
        if process.poll() is not None or not in_time:
            stop_process(process)
            last = text().strip().splitlines()[-3:]
            raise LabError(f"{name} on {self.host.name} did not start: {' | '.join(last) or 'no output'}")
        return process


class Routed(Tunnel):
    """No tunnel: the hosts route the pods' packets to each other."""

    overhead = 0

    def start(self):
        self.host.ip(f"route replace {self.peer.pod_networks[0]} via {self.peer.underlay_address}",
                     f"addr replace fd00:192::{self.host.index}/64 dev eth0 nodad",
                     f"route replace {self.peer.pod_networks[1]} via fd00:192::{self.peer.index}")


class KernelVxlan(Tunnel):
    """The kernel's VXLAN device with learning off and a static forwarding entry, as Flannel sets it up."""

    flags = ()  # more of what `ip link add` takes

    def start(self):
        if self.host.execute("ip", "-o", "link", "show", "type", "vxlan"):
            return
        self.host.ip(
            f"link add vxlan0 address {self.host.tunnel_mac} mtu {self.host.pod_mtu} type vxlan id {VNI} "
            f"local {self.host.underlay_address} dev eth0 dstport {PORT} nolearning "
            f"{' '.join(self.flags)}",
            *(f"addr add {address} dev vxlan0" for address in self.host.tunnel_addresses),
            "link set vxlan0 up")
        self._route_over("vxlan0", self.peer.tunnel_mac)
        self.host.execute("bridge", "fdb", "append", self.peer.tunnel_mac, "dev", "vxlan0", "dst",
                          self.peer.underlay_address, "self", "permanent")


class KernelVxlanWithoutChecksums(KernelVxlan):
    """Leaves the outer UDP checksum zero, as Flannel's devices do over IPv4."""

    flags = ("noudpcsum",)


class Overlay(Tunnel):
    """overlayd; `egress` is how it hands datagrams to the kernel."""

    encapsulation = "vxlan"
    payload = "ethernet"
    port = PORT
    egress = "auto"
    queues = 1
    program = None

    @classmethod
    def missing(cls):
        if cls.program is None or not os.access(cls.program, os.X_OK):
            return f"{cls.program} is not built: dotnet build src/Overlay.Agent"
        return None

    def start(self):
        path = os.path.join(self.directory, f"{self.host.name}.yaml")
        with open(path, "w") as config:
            config.write(self.configuration())
        self.daemon = self._run_daemon([self.program, "--config", path], "overlayd", lambda log: "ready" in log)

    def configuration(self):
        has_header = self.encapsulation != "ipip"
        addresses = ", ".join(f'"{address}/{128 if ":" in address else 32}"' for address in self.host.tunnel_addresses)
        peers = "".join(
            f'\n  - name: {name}\n    address: "{address}"' + (f"\n    mac: {mac}" if has_header else "") for name, address, mac in self.peers())
        routes = "".join(f'\n  - prefix: "{prefix}"\n    peer: {peer}' for prefix, peer in self.routes())
        return f"""\
node: {self.host.name}
api:
  socket: {os.path.join(self.directory, self.host.name)}.sock
underlay:
  interface: {self.host.underlay_device}
  addresses: ["{self.host.underlay_address}"]
  queues: {self.queues}
{f"  port: {self.port}" if has_header else ""}
tunnel:
  encapsulation: {self.encapsulation}
  egress: {self.egress}
segments:
  - name: pods
{f"    vni: {VNI}" if has_header else ""}
{f"    payload: {self.payload}" if has_header else ""}
    device: overlay0
    mac: {self.host.tunnel_mac}
    addresses: [{addresses}]
peers:{peers}
routes:{routes}
"""

    def peers(self):
        """Name, underlay address and MAC of each."""
        return [(self.peer.name, self.peer.underlay_address, self.peer.tunnel_mac)]

    def routes(self):
        """Prefix and name of the peer of each."""
        return [(network, self.peer.name) for network in self.peer.pod_networks]


class OverlayUdpGso(Overlay):
    egress = "udp-gso"


class OverlayTunnelGso(Overlay):
    egress = "tunnel-gso"


class OverlayGeneve(Overlay):
    encapsulation = "geneve"
    port = GENEVE_PORT


class OverlayGeneveUdpGso(OverlayGeneve):
    egress = "udp-gso"


class OverlayGeneveTunnelGso(OverlayGeneve):
    egress = "tunnel-gso"


class OverlayGeneveBareIp(OverlayGeneve):
    """Without inner Ethernet headers, which the kernel segments in no tunnel."""

    payload = "ip"
    egress = "udp-gso"
    overhead = 36


class OverlayIpInIp(Overlay):
    """Over raw sockets, to which the kernel gives neither segmentation nor coalescing."""

    encapsulation = "ipip"
    overhead = 28  # 20; over IPv6 8 more of options


class OverlayIpInIpTwoQueues(OverlayIpInIp):
    queues = 2


class OpenVSwitch(Tunnel):
    """Open vSwitch's userspace datapath (datapath_type=netdev) with a tunnel port; its own database and directory."""

    tunnel = "vxlan"
    port = PORT

    @classmethod
    def missing(cls):
        return None if shutil.which("ovs-vswitchd") else "ovs-vswitchd not found: apt install openvswitch-switch"

    def start(self):
        self._run = os.path.join(self.directory, f"ovs-{self.host.name}")
        shutil.rmtree(self._run, ignore_errors=True)
        os.makedirs(self._run)
        database, socket = os.path.join(self._run, "conf.db"), os.path.join(self._run, "db.sock")
        self._control = os.path.join(self._run, "vswitchd.ctl")
        environment = (f"OVS_RUNDIR={self._run}",)
        self.host.execute("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        self._server = self._run_daemon(
            ["ovsdb-server", f"--remote=punix:{socket}", f"--unixctl={self._run}/ovsdb.ctl", database], "ovsdb-server",
            lambda log: os.path.exists(socket), environment)
        self._database = f"--db=unix:{socket}"
        self.host.execute("ovs-vsctl", self._database, "--no-wait", "init")
        self.daemon = self._run_daemon(
            ["ovs-vswitchd", f"unix:{socket}", f"--unixctl={self._control}"], "ovs-vswitchd",
            lambda log: os.path.exists(self._control), environment)
        self.host.execute(
            "ovs-vsctl", self._database, "-t", "10",
            "add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev",
            "--", "add-port", "br-phy", "eth0",
            "--", "add-br", "br-pod", "--", "set", "bridge", "br-pod", "datapath_type=netdev",
            f"other-config:hwaddr={self.host.tunnel_mac}",
            "--", "add-port", "br-pod", "tunnel", "--", "set", "interface", "tunnel", f"type={self.tunnel}",
            f"options:remote_ip={self.peer.underlay_address}", f"options:local_ip={self.host.underlay_address}",
            f"options:key={VNI}", f"options:dst_port={self.port}")
        self.host.ip(
            f"addr flush dev {self.host.underlay_device}",
            f"addr replace {self.host.underlay_address}/24 dev br-phy",
            "link set br-phy up",
            f"link set br-pod mtu {self.host.pod_mtu}",
            *(f"addr replace {address} dev br-pod" for address in self.host.tunnel_addresses),
            "link set br-pod up")
        self._route_over("br-pod", self.peer.tunnel_mac)

    def stop(self):
        super().stop()
        if getattr(self, "_server", None) is not None:
            stop_process(self._server)
            self._server = None


class OpenVSwitchGeneve(OpenVSwitch):
    tunnel = "geneve"
    port = GENEVE_PORT


class WireGuardGo(Tunnel):
    """wireguard-go. It encrypts, so its figures are not the price of encapsulation alone."""

    overhead = 60

    @classmethod
    def missing(cls):
        absent = [program for program in ("wireguard-go", "wg") if not shutil.which(program)]
        return f"{' and '.join(absent)} not found: apt install wireguard-go wireguard-tools" if absent else None

    def start(self):
        # The control sockets of wireguard-go have a fixed directory: a mount namespace hides it from the system's own.
        self.daemon = self._run_daemon(
            ["unshare", "-m", "sh", "-c",
             "mkdir -p /var/run/wireguard && mount -t tmpfs none /var/run/wireguard && exec wireguard-go -f wg0"],
            "wireguard-go", lambda log: "UAPI listener started" in log, ("LOG_LEVEL=verbose",))
        self._wg("set", "wg0", "listen-port", "51820", "private-key", self._private_key(self.host),
                 "peer", self._public_key(self.peer), "endpoint", f"{self.peer.underlay_address}:51820",
                 "allowed-ips", ",".join([*self.peer.pod_networks, f"{self.peer.tunnel_addresses[0]}/32"]))
        self.host.ip(f"link set wg0 mtu {self.host.pod_mtu} up",
                     *(f"addr add {address} dev wg0" for address in self.host.tunnel_addresses))
        self._route_over("wg0")

    def _wg(self, *arguments):
        return self.host.execute("nsenter", "-t", str(self.daemon.pid), "-m", "wg", *arguments)

    def _private_key(self, host):
        path = os.path.join(self.directory, f"{host.name}.key")
        if not os.path.exists(path):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(run("wg", "genkey"))
        return path

    def _public_key(self, host):
        with open(self._private_key(host)) as key:
            return run("wg", "pubkey", stdin=key.read()).strip()
