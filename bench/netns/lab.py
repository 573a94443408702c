"""Network namespaces for one variant: two hosts joined by an underlay, and a pod routed behind each host."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

TCP_RMEM = "4096 131072 16777216"
TCP_WMEM = "4096 131072 16777216"
MODES = {
    "wire": "TSO, GSO and transmit checksum offload off, GRO on, at both underlay ends: every packet is cut to the MTU "
            "and checksummed, as on a real network",
    "veth": "the offloads a veth pair has by default: the kernel neither segments nor checksums on the underlay",
}


def _prefix():
    """Names a namespace after this process and its start, so that scripts/lib/sweep-namespaces can tell whose it is."""
    with open("/proc/self/stat") as stat:
        start = stat.read().rsplit(")", 1)[1].split()[19]
    return f"ovt-{os.getpid()}-{start}"


PREFIX = _prefix()
_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class LabError(Exception):
    """A command that sets up or measures failed; the text says which and why."""


def die_with_parent():
    """For preexec_fn: the child is killed when this process ends, however it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def stop_on_signals():
    """Lets the signals that end a program run its clean-up first, even where the shell had them ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))


def run(*command, stdin=None, timeout=30):
    """Runs a command to its end and returns its standard output."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout,
                          preexec_fn=die_with_parent)
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip() or f'exit {done.returncode}'}")
    return done.stdout


@dataclass(frozen=True)
class Host:
    """One node: its namespace, the namespace of its pod, and its addresses, which depend on its index (1 or 2) only."""

    index: int
    namespace: str
    pod: str
    underlay_mtu: int
    pod_mtu: int
    underlay_family: int = 4
    underlay_device = "eth0"

    @property
    def name(self):
        return f"host-{'ab'[self.index - 1]}"

    @property
    def underlay_address(self):
        return f"192.0.2.{self.index}" if self.underlay_family == 4 else f"fd00:192::{self.index}"

    @property
    def tunnel_mac(self):
        return f"02:00:00:00:00:{self.index:02x}"

    @property
    def pod_networks(self):
        return [f"10.244.{self.index}.0/24", f"fd00:244:{self.index}::/64"]

    @property
    def tunnel_addresses(self):
        return [f"10.244.{self.index}.0", f"fd00:244:{self.index}::"]

    def pod_address(self, family=4):
        return f"10.244.{self.index}.2" if family == 4 else f"fd00:244:{self.index}::2"

    def ip(self, *lines):
        """Runs lines of `ip` in the host's namespace as one batch."""
        run("ip", "-n", self.namespace, "-batch", "-", stdin="\n".join(lines) + "\n")

    def bridge(self, *lines):
        """Runs lines of `bridge` in the host's namespace as one batch."""
        run("bridge", "-n", self.namespace, "-batch", "-", stdin="\n".join(lines) + "\n")

    def execute(self, *command):
        return run("ip", "netns", "exec", self.namespace, *command)

    def start(self, command, log):
        """Starts a process in the host's namespace; its output goes to the file `log`."""
        return subprocess.Popen(["ip", "netns", "exec", self.namespace, *command], stdin=subprocess.DEVNULL,
                                stdout=log, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)


def stop_process(process):
    """Ends a process started here: asks first, insists after five seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def resident_kib(process):
    """VmRSS of a process that should be running, in KiB."""
    if process.poll() is not None:
        raise LabError(f"{' '.join(process.args)}: ended by itself with status {process.returncode}")
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


class Lab:
    """The namespaces of one variant. `close` removes them all; the processes in them are stopped by who started them.

    With `perturb` the underlay runs through a third namespace in which the relay of that name, given those arguments,
    loses, repeats, delays, marks or damages frames; such an underlay has no offloads.
    """

    def __init__(self, name, mode, overhead, mtu=1500, perturb=None, sysctls=(), underlay_family=4):
        self._namespaces = []
        self._relay = None
        self._sysctls = sysctls
        try:
            self.hosts = [self._create_host(name, index, mtu, overhead, underlay_family) for index in (1, 2)]
            if perturb is None:
                self._join(mtu)
            else:
                self._join_through_relay(name, mtu, perturb)
            for host in self.hosts:
                self._configure(host, "wire" if perturb is not None else mode)
        except BaseException:
            self.close()
            raise

    def close(self):
        if self._relay is not None:
            stop_process(self._relay)
        for namespace in self._namespaces:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, timeout=30)
        self._namespaces.clear()

    def stop_relay(self):
        """Ends the relay and returns the line of JSON in which it counts what it did."""
        stop_process(self._relay)
        return self._relay.stdout.read().strip()

    def _create_namespace(self, name):
        namespace = f"{PREFIX}-{name}"
        run("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        run("ip", "netns", "exec", namespace, "sysctl", "-qw",
            "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
            "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
            "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
            f"net.ipv4.tcp_rmem={TCP_RMEM}", f"net.ipv4.tcp_wmem={TCP_WMEM}", *self._sysctls)
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        return namespace

    def _create_host(self, name, index, mtu, overhead, underlay_family):
        side = "ab"[index - 1]
        return Host(index, self._create_namespace(f"{name}-{side}"), self._create_namespace(f"{name}-pod-{side}"), mtu,
                    mtu - overhead, underlay_family)

    def _join(self, mtu):
        a, b = self.hosts
        run("ip", "link", "add", "eth0", "netns", a.namespace, "mtu", str(mtu), "type", "veth",
            "peer", "name", "eth0", "netns", b.namespace, "mtu", str(mtu))

    def _join_through_relay(self, name, mtu, perturb):
        relay = self._create_namespace(f"{name}-relay")
        for host, end in zip(self.hosts, ("left", "right")):
            run("ip", "link", "add", "eth0", "netns", host.namespace, "mtu", str(mtu), "type", "veth",
                "peer", "name", end, "netns", relay, "mtu", str(mtu))
            run("ip", "-n", relay, "link", "set", end, "up")
        self._relay = subprocess.Popen(["ip", "netns", "exec", relay, *perturb, "left", "right"],
                                       stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        if self._relay.stdout.readline() != "ready\n":
            raise LabError(f"{perturb[0]}: did not start")

    def _configure(self, host, mode):
        pod_link, gateway = host.pod_networks, f"10.244.{host.index}.1"
        host.ip(
            f"link set eth0 mtu {host.underlay_mtu}",
            f"addr add {host.underlay_address}/{24 if host.underlay_family == 4 else 64} dev eth0",
            "link set eth0 up",
            f"link add pod0 mtu {host.pod_mtu} type veth peer name eth0 netns {host.pod} mtu {host.pod_mtu}",
            f"addr add {gateway}/24 dev pod0",
            f"addr add fd00:244:{host.index}::1/64 dev pod0 nodad",
            "link set pod0 up")
        run("ip", "-n", host.pod, "-batch", "-", stdin="\n".join((
            f"link set eth0 mtu {host.pod_mtu}",
            f"addr add {host.pod_address(4)}/24 dev eth0",
            f"addr add {host.pod_address(6)}/64 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via {gateway}",
            f"route add default via fd00:244:{host.index}::1")) + "\n")
        if mode == "wire":
            host.execute("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "on")


def wait_until(condition, seconds):
    """Polls until the condition holds; False when it does not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
