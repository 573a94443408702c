"""What is measured: the runs of the load generator and the figures taken from each."""

import json
import subprocess
from dataclasses import dataclass

from lab import LabError, die_with_parent

CONGESTION_CONTROL = "cubic"


@dataclass(frozen=True)
class Workload:
    name: str
    arguments: tuple
    seconds: float  # of the measured window, as a share of the length chosen for the run


@dataclass(frozen=True)
class Metric:
    workload: str
    key: str
    title: str
    unit: str
    scale: float = 1.0
    digits: int = 2
    lower_is_better: bool = False


WORKLOADS = (
    Workload("tcp1", ("tcp",), 1),
    Workload("tcp4", ("tcp", "--streams", "4"), 1),
    Workload("tcp1-reverse", ("tcp", "--reverse"), 1),
    Workload("udp64", ("udp-search", "--size", "64"), 0.2),
    Workload("udp1400", ("udp-search", "--size", "1400"), 0.2),
    Workload("request-response", ("request-response",), 1),
    Workload("connect", ("connect", "--streams", "4"), 1),
)

WARM_UP = ((("tcp",), 0.2), (("tcp", "--reverse"), 0.2), (("udp", "--size", "64"), 0.2))

MEMORY = "memory"

METRICS = (
    Metric("tcp1", "gbps", "TCP 1 stream", "Gb/s"),
    Metric("tcp4", "gbps", "TCP 4 streams", "Gb/s"),
    Metric("tcp1-reverse", "gbps", "TCP 1 stream, reverse", "Gb/s"),
    Metric("udp64", "flood_delivered_pps", "UDP 64 B delivered", "kpps", 1e-3, 0),
    Metric("udp64", "pps_at_1pct_loss", "UDP 64 B, loss ≤ 1 %", "kpps", 1e-3, 0),
    Metric("udp1400", "flood_delivered_pps", "UDP 1400 B delivered", "kpps", 1e-3, 0),
    Metric("udp1400", "pps_at_1pct_loss", "UDP 1400 B, loss ≤ 1 %", "kpps", 1e-3, 0),
    Metric("request-response", "p50_us", "TCP request/response p50", "µs", 1, 1, True),
    Metric("request-response", "p99_us", "TCP request/response p99", "µs", 1, 1, True),
    Metric("connect", "connections_per_second", "TCP connections", "1/s", 1, 0),
    Metric("tcp1", "cpu_seconds_per_gb", "CPU, TCP 1 stream", "s/GB", 1, 3, True),
    Metric("tcp4", "cpu_seconds_per_gb", "CPU, TCP 4 streams", "s/GB", 1, 3, True),
    Metric(MEMORY, "rss_mb", "Memory of the daemon", "MB", 1, 1, True),
)


class LoadGenerator:
    """Runs the compiled load generator between the pods of two hosts."""

    def __init__(self, program):
        self._program = program

    def run(self, client, server, arguments, seconds, family=4, address=None):
        """The figures of one run. Raises LabError when it fails; differing payload is a failure with the counts."""
        command = [self._program, *arguments, "--client", client.pod, "--server", server.pod,
                   "--address", address or server.pod_address(family), "--seconds", f"{seconds:g}",
                   "--congestion", CONGESTION_CONTROL]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 30 + 60,
                                  preexec_fn=die_with_parent)
        except subprocess.TimeoutExpired:
            raise LabError(f"{' '.join(command[1:])}: did not end in time") from None
        if done.returncode != 0:
            reason = (done.stderr + done.stdout).strip() or f"ended by status {done.returncode}"
            raise LabError(f"{' '.join(arguments)}: {reason}")
        return json.loads(done.stdout)
