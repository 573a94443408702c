"""Measures what being seen costs: the always-on ring with metrics that are scraped, a capture that wants none of the load, one that wants all.

Run by scripts/bench, which builds what it needs. Every figure of a daemon is compared with another one of the same daemon, right before or
after it: daemons that are alike differ by more than what is looked for. So do the rounds, which is why a cost is given with its standard
error. Ends with status 1 where a cost is beyond its limit by more than two of them, or the daemons' threads beside the workers take more than
the idle one's limit of their CPU time.
"""

import argparse
import http.client
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from statistics import median, stdev

from bench import BUSY, machine, note
from lab import Lab, die_with_parent, stop_on_signals
from tunnels import OverlayTunnelGso
from workloads import WARM_UP, LoadGenerator, Metric

SCRAPE_SECONDS = 1
LIMITS = {"idle": 0.01, "filtered": 0.10}
STATES = ("off", "idle", "filtered", "everything")
TITLES = {"off": "ring off, no metrics", "idle": "ring on, metrics scraped each second",
          "filtered": "and a capture whose filter wants none of it", "everything": "a capture that wants all of it, 128 B a packet"}
# By state: nobody uses the port, which is looked for in each packet; and whatever goes between the pods.
CAPTURES = {"filtered": ("--proto", "tcp", "--port", "9"), "everything": ("--segment", "pods", "--snaplen", "128")}
# Before it is measured: the runtime compiles what is called often anew, in the background, once calls have paused for 100 ms. A daemon that
# is scraped each minute has done with it after some hours, and in the meantime spreads it over them.
WARM_SCRAPES = (100,) * 5
WARM_PAUSE_SECONDS = 0.3
WORKLOADS = {"tcp1": ("tcp",), "udp64": ("udp", "--size", "64")}
METRICS = (Metric("tcp1", "gbps", "TCP 1 stream", "Gb/s"), Metric("udp64", "delivered_pps", "UDP 64 B delivered", "kpps", 1e-3, 0))


class ObservedOverlay(OverlayTunnelGso):
    """Whose ring is switched by a reload."""

    client = None
    ring = 0

    def configuration(self):
        return super().configuration() + f"capture:\n  ring: {self.ring}\n"

    @property
    def socket(self):
        return f"{os.path.join(self.directory, self.host.name)}.sock"

    def turn(self, ring):
        if ring == self.ring:
            return
        self.ring = ring
        with open(os.path.join(self.directory, f"{self.host.name}.yaml"), "w") as config:
            config.write(self.configuration())
        path = os.path.join(self.directory, f"overlayd-{self.host.name}.log")
        with open(path) as log:
            before = log.read().count("reloaded: revision")
        self.daemon.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with open(path) as log:
                if log.read().count("reloaded: revision") > before:
                    return
            time.sleep(0.01)
        raise SystemExit(f"{self.host.name} did not reload within 10 s")


class LocalConnection(http.client.HTTPConnection):
    """To a daemon's API socket; it stays open, as Prometheus keeps it."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def scrape(self):
        self.request("GET", "/metrics")
        response = self.getresponse()
        response.read()
        if response.status != 200:
            raise SystemExit(f"{self._path}: /metrics answers {response.status}")


class Scraping:
    """Asks each daemon for its metrics, as Prometheus does, until it is closed."""

    def __init__(self, tunnels):
        self._end = threading.Event()
        self._connections = [LocalConnection(tunnel.socket) for tunnel in tunnels]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._end.wait(SCRAPE_SECONDS):
            for connection in self._connections:
                connection.scrape()

    def close(self):
        self._end.set()
        self._thread.join()
        for connection in self._connections:
            connection.close()


def enter(state, tunnels, stack):
    """Brings the daemons into a state; what has to end with it goes onto the stack."""
    for tunnel in tunnels:
        tunnel.turn(0 if state == "off" else 512)
    if state != "off":
        stack.callback(Scraping(tunnels).close)
    if state not in CAPTURES:
        return
    for tunnel in tunnels:
        capture = subprocess.Popen([ObservedOverlay.client, "capture", *CAPTURES[state], "-w", "-", "--socket", tunnel.socket],
                                   stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        # The file's header: from then on it captures.
        capture.stdout.read(8)
        drain = threading.Thread(target=discard, args=(capture.stdout,))
        drain.start()
        # Undone in the reverse order.
        stack.callback(capture.wait)
        stack.callback(drain.join)
        stack.callback(capture.send_signal, signal.SIGINT)


def thread_seconds(tunnels):
    """CPU time of the daemons' workers, and of their other threads: metrics, captures, the runtime's compiler."""
    seconds = {True: 0.0, False: 0.0}
    for tunnel in tunnels:
        tasks = f"/proc/{tunnel.daemon.pid}/task"
        for task in os.listdir(tasks):
            try:
                with open(f"{tasks}/{task}/comm") as name, open(f"{tasks}/{task}/schedstat") as figures:
                    seconds[name.read().startswith("queue-")] += int(figures.read().split()[0]) * 1e-9
            except FileNotFoundError:
                pass  # It has ended.
    return seconds[True], seconds[False]


def measure(generator, tunnels, a, b, arguments, seconds):
    before = thread_seconds(tunnels)
    figures = generator.run(a, b, arguments, seconds)
    workers, others = (now - then for now, then in zip(thread_seconds(tunnels), before))
    return {**figures, "beside_workers": others / (workers + others)}


def discard(stream):
    while stream.read1(1 << 20):
        pass


def warm(tunnels, generator, a, b):
    for tunnel in tunnels:
        connection = LocalConnection(tunnel.socket)
        for scrapes in WARM_SCRAPES:
            for _ in range(scrapes):
                connection.scrape()
            time.sleep(WARM_PAUSE_SECONDS)
        connection.close()
    for state in CAPTURES:
        with ExitStack() as inside:
            enter(state, tunnels, inside)
            for arguments, seconds in WARM_UP:
                generator.run(a, b, arguments, seconds)


def run(options, stack):
    generator = LoadGenerator(os.path.join(options.tools, "loadgen"))
    directory = tempfile.mkdtemp(prefix="overlay-bench-")
    stack.callback(shutil.rmtree, directory)
    lab = Lab("o0", "wire", ObservedOverlay.overhead)
    stack.callback(lab.close)
    a, b = lab.hosts
    tunnels = [ObservedOverlay(a, b, directory), ObservedOverlay(b, a, directory)]
    for tunnel in tunnels:
        stack.callback(tunnel.stop)
        tunnel.start()
    for arguments, seconds in WARM_UP:
        generator.run(a, b, arguments, seconds)
    warm(tunnels, generator, a, b)
    rows = []
    for number in range(options.rounds):
        # Forwards and back, so that none always follows the same one.
        for state in STATES if number % 2 == 0 else reversed(STATES):
            with ExitStack() as inside:
                enter(state, tunnels, inside)
                # A client of captures has just been started, a configuration just been read.
                for arguments, seconds in WARM_UP:
                    generator.run(a, b, arguments, seconds)
                for workload, arguments in WORKLOADS.items():
                    rows.append({"round": number, "state": state, "workload": workload, **measure(generator, tunnels, a, b, arguments, options.seconds)})
        note(f"round {number + 1}/{options.rounds}")
    return rows


def costs(rows, metric, state):
    """By round: what the state takes of the figure that the daemon has without it."""
    def of(which):
        return {row["round"]: row[metric.key] for row in rows if (row["state"], row["workload"]) == (which, metric.workload)}
    base, own = of("off"), of(state)
    return [1 - own[number] / base[number] for number in sorted(own)]


def cost(rows, metric, state):
    """The median over the rounds, and its standard error: of rounds that are normally distributed, sqrt(pi / 2) of that of their mean."""
    own = costs(rows, metric, state)
    return median(own), math.sqrt(math.pi / 2 / len(own)) * stdev(own)


def beside_workers(rows, workload, state):
    return median(row["beside_workers"] for row in rows if (row["state"], row["workload"]) == (state, workload))


def beyond(rows):
    """What costs more than it may."""
    for metric in METRICS:
        for state, limit in LIMITS.items():
            lost, error = cost(rows, metric, state)
            if lost - 2 * error > limit:
                yield f"{metric.title}, {state}"
    for workload in WORKLOADS:
        if beside_workers(rows, workload, "idle") - beside_workers(rows, workload, "off") > LIMITS["idle"]:
            yield f"{workload}, CPU time beside the workers"


def markdown(results):
    host, settings, rows = results["machine"], results["settings"], results["measurements"]
    lines = [
        f"{results['date']}, {host['cpu']}, {host['cpus']} CPUs, Linux {host['kernel']}; {settings['rounds']} rounds of {settings['seconds']:g} s on one pair of daemons, "
        "underlay `wire`; medians, and the median over the rounds of what the same round lost against \"off\" (negative: it was faster), with its standard error.", "",
        "| | " + " | ".join(TITLES[state] for state in STATES) + " |", "| --- |" + " ---: |" * len(STATES)]
    for metric in METRICS:
        cells = []
        for state in STATES:
            own = median(row[metric.key] * metric.scale for row in rows if (row["state"], row["workload"]) == (state, metric.workload))
            lost = "" if state == "off" else " ({:+.1f} ± {:.1f} %)".format(*(100 * figure for figure in cost(rows, metric, state)))
            cells.append(f"{own:.{metric.digits}f}{lost}")
        lines.append(f"| {metric.title}, {metric.unit} | " + " | ".join(cells) + " |")
    for workload in WORKLOADS:
        cells = [f"{100 * beside_workers(rows, workload, state):.1f} %" for state in STATES]
        lines.append(f"| {workload}: of the daemons' CPU time, beside the workers | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse_options():
    parser = argparse.ArgumentParser(prog="scripts/bench observability", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds, at least 2 (15)")
    parser.add_argument("--seconds", type=float, default=0.5, help="measured window (0.5)")
    parser.add_argument("--output", default="artifacts/bench", metavar="DIR", help="where observability.json and .md go (artifacts/bench)")
    parser.add_argument("--overlayd", help=argparse.SUPPRESS, required=True)
    parser.add_argument("--overlay", help=argparse.SUPPRESS, required=True)
    parser.add_argument("--tools", help=argparse.SUPPRESS, required=True)
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error(f"--rounds {options.rounds}: a cost has no error with fewer than 2")
    return options


def main():
    options = parse_options()
    ObservedOverlay.program, ObservedOverlay.client = options.overlayd, options.overlay
    stop_on_signals()
    host = machine()
    if host["load_before"] > BUSY:
        note(f"the machine is busy (load {host['load_before']}): the figures will be noise")
    with ExitStack() as stack:
        rows = run(options, stack)
    results = {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": host,
               "settings": {"rounds": options.rounds, "seconds": options.seconds}, "measurements": rows}
    os.makedirs(options.output, exist_ok=True)
    text = markdown(results)
    print(text)
    for name, content in (("observability.json", json.dumps(results, indent=1)), ("observability.md", text)):
        with open(os.path.join(options.output, name), "w") as file:
            file.write(content + "\n")
    too_much = list(beyond(rows))
    if too_much:
        note(f"costs more than it may: {', '.join(too_much)}")
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
