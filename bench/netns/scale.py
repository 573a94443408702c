"""Measures whether the number of peers costs anything: 1, 100 and 1,000 of them, with 1, 16 and 256 flows.

Run by scripts/bench, which builds what it needs. Ends with status 1 where a daemon needs more memory than it may.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from statistics import median

import lab
from bench import BUSY, machine, note
from crowd import KernelVxlanCrowd, OverlayCrowd, PeerCrowd
from lab import Lab, LabError, stop_on_signals
from tunnels import Overlay
from workloads import CONGESTION_CONTROL, WARM_UP, LoadGenerator, Metric

PEERS = (1, 100, 1000)
FLOWS = (1, 16, 256)
MOST_MEMORY_MB = 100
VARIANTS = {"kernel-vxlan": ("kernel VXLAN", KernelVxlanCrowd), "overlay": ("Overlay VXLAN", OverlayCrowd)}
WORKLOADS = {"tcp": ("tcp",), "udp64": ("udp", "--size", "64"), "request-response": ("request-response",)}
METRICS = (
    Metric("tcp", "gbps", "TCP", "Gb/s"),
    Metric("tcp", "cpu_seconds_per_gb", "CPU, TCP", "s/GB", 1, 3, True),
    Metric("udp64", "delivered_pps", "UDP 64 B delivered", "kpps", 1e-3, 0),
    Metric("request-response", "p50_us", "TCP request/response p50", "µs", 1, 1, True),
    Metric("request-response", "p99_us", "TCP request/response p99", "µs", 1, 1, True),
)


class Contestant:
    """One variant with so many peers. Only the first host knows them all: the second is all of them."""

    def __init__(self, variant, number, peers):
        self.variant = variant
        self.peers = peers
        self._directory = tempfile.mkdtemp(prefix="overlay-bench-")
        try:
            self._lab = Lab(f"s{number}", "wire", PeerCrowd.overhead)
        except BaseException:
            shutil.rmtree(self._directory)
            raise
        a, b = self._lab.hosts
        self._crowd = PeerCrowd(b, a, self._directory)
        self._tunnel = VARIANTS[variant][1](a, b, self._directory, peers)

    def restart(self, generator):
        """Starts a new daemon and lets it carry some traffic."""
        self._crowd.start()
        self._tunnel.stop()
        self._tunnel.start()
        if self._tunnel.daemon is None:
            return
        for arguments, seconds in WARM_UP:
            generator.run(*self._lab.hosts, arguments, seconds)

    def measure(self, generator, workload, flows, seconds):
        return generator.run(
            *self._lab.hosts,
            (*WORKLOADS[workload], "--streams", str(flows), "--destinations", str(min(self.peers, flows))),
            seconds, address=PeerCrowd.first_address)

    def memory_mb(self):
        size = self._tunnel.resident_kib()
        return None if size is None else round(size * 1024e-6, 2)

    def close(self):
        self._tunnel.stop()
        self._lab.close()
        shutil.rmtree(self._directory)


def run(options, stack):
    """Every measurement, and the memory of every daemon, as rows."""
    generator = LoadGenerator(os.path.join(options.tools, "loadgen"))
    contestants = []
    for peers in PEERS:
        for variant in VARIANTS:
            contestants.append(Contestant(variant, len(contestants), peers))
            stack.callback(contestants[-1].close)
    rows = []
    for number in range(options.rounds):
        started = []
        for contestant in contestants:
            try:
                contestant.restart(generator)
                started.append(contestant)
            except LabError as error:
                note(f"  {contestant.variant}, {contestant.peers} peers: {error}")
                rows.append({"round": number, "workload": "start", "variant": contestant.variant,
                             "peers": contestant.peers, "flows": 0, "error": str(error)})
        # Each round begins with another one, so that none always follows the same one.
        turn = number % len(contestants)
        order = [contestant for contestant in contestants[turn:] + contestants[:turn] if contestant in started]
        for workload in WORKLOADS:
            for flows in FLOWS:
                note(f"round {number + 1}/{options.rounds} {workload} {flows} flows")
                for contestant in order:
                    row = {"round": number, "workload": workload, "variant": contestant.variant,
                           "peers": contestant.peers, "flows": flows}
                    try:
                        row.update(contestant.measure(generator, workload, flows, options.seconds))
                    except LabError as error:
                        note(f"  {contestant.variant}, {contestant.peers} peers: {error}")
                        row["error"] = str(error)
                    rows.append(row)
        for contestant in order:
            size = contestant.memory_mb()
            if size is not None:
                rows.append({"round": number, "workload": "memory", "variant": contestant.variant,
                             "peers": contestant.peers, "flows": 0, "rss_mb": size})
    return rows


def values(rows, metric, variant, peers, flows):
    return [row[metric.key] * metric.scale for row in rows
            if (row["workload"], row["variant"], row["peers"], row["flows"]) == (metric.workload, variant, peers, flows)
            and metric.key in row]


def cell(rows, metric, variant, peers, flows):
    """Median, and its ratio to that of one peer with as many flows."""
    own, base = values(rows, metric, variant, peers, flows), values(rows, metric, variant, PEERS[0], flows)
    if not own:
        return ""
    text = f"{median(own):.{metric.digits}f}"
    return text + (f" ({median(own) / median(base):.2f}x)" if peers != PEERS[0] and base and median(base) > 0 else "")


def markdown(results):
    host, settings, rows = results["machine"], results["settings"], results["measurements"]
    lines = [
        f"{results['date']}, {host['cpu']}, {host['cpus']} CPUs, Linux {host['kernel']}, load {host['load_before']:.2f} "
        f"before the start; {settings['rounds']} rounds of {settings['seconds']:g} s, new daemons each round; underlay "
        "`wire`. Flows are spread over the peers. Medians; in brackets the ratio to one peer with as many flows. "
        "↓: lower is better.", "",
        "| | " + " | ".join(f"{VARIANTS[variant][0]}, {peers:,} peer{'s' if peers > 1 else ''}"
                            for variant in VARIANTS for peers in PEERS) + " |",
        "| --- |" + " ---: |" * (len(VARIANTS) * len(PEERS)),
    ]
    for metric in METRICS:
        for flows in FLOWS:
            cells = (cell(rows, metric, variant, peers, flows) for variant in VARIANTS for peers in PEERS)
            arrow = " ↓" if metric.lower_is_better else ""
            lines.append(f"| {metric.title}, {flows} flow{'s' if flows > 1 else ''}, {metric.unit}{arrow} | "
                         + " | ".join(cells) + " |")
    memory = Metric("memory", "rss_mb", "Memory of the daemon", "MB", 1, 1, True)
    lines.append(f"| {memory.title}, {memory.unit} ↓ | " + " | ".join(
        cell(rows, memory, variant, peers, 0) for variant in VARIANTS for peers in PEERS) + " |")
    failures = [row for row in rows if "error" in row]
    if failures:
        lines += ["", "Failed:", ""]
        lines += [f"- round {row['round'] + 1} {row['workload']} {row['variant']}, {row['peers']} peers, "
                  f"{row['flows']} flows: {row['error']}" for row in failures]
    return "\n".join(lines)


def parse_options():
    parser = argparse.ArgumentParser(prog="scripts/bench scale", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round of 0.5 s")
    parser.add_argument("--rounds", type=int, help="rounds, each with new daemons (3)")
    parser.add_argument("--seconds", type=float, help="measured window (1)")
    parser.add_argument("--output", default="artifacts/bench", metavar="DIR",
                        help="where scale.json and scale.md go (artifacts/bench)")
    parser.add_argument("--overlayd", help=argparse.SUPPRESS, required=True)
    parser.add_argument("--tools", help=argparse.SUPPRESS, required=True)
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (0.5 if options.quick else 1.0)
    return options


def main():
    options = parse_options()
    Overlay.program = options.overlayd
    stop_on_signals()
    started = time.time()
    host = machine()
    if host["load_before"] > BUSY:
        note(f"the machine is busy (load {host['load_before']}): the figures will be noise")
    with ExitStack() as stack:
        rows = run(options, stack)
    results = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "elapsed_seconds": round(time.time() - started),
        "machine": host,
        "settings": {"rounds": options.rounds, "seconds": options.seconds, "mtu": 1500, "tcp_rmem": lab.TCP_RMEM,
                     "tcp_wmem": lab.TCP_WMEM, "congestion_control": CONGESTION_CONTROL},
        "measurements": rows,
    }
    os.makedirs(options.output, exist_ok=True)
    text = markdown(results)
    print(text)
    for name, content in (("scale.json", json.dumps(results, indent=1)), ("scale.md", text)):
        with open(os.path.join(options.output, name), "w") as file:
            file.write(content + "\n")
    largest = max((row["rss_mb"] for row in rows if "rss_mb" in row), default=0)
    if largest > MOST_MEMORY_MB:
        note(f"a daemon needs {largest} MB, more than {MOST_MEMORY_MB} MB")
        return 1
    return 1 if any("error" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
