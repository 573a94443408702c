"""Compares Overlay with bare routed veth, kernel VXLAN and other userspace datapaths, in one run and alternating rounds.

Run by scripts/bench, which builds what it needs.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack

import chart
import lab
import report
from lab import Lab, LabError, stop_on_signals
from tunnels import Overlay
from variants import VARIANTS, by_name
from workloads import CONGESTION_CONTROL, MEMORY, WARM_UP, WORKLOADS, LoadGenerator

BUSY = 0.5  # load average over the last minute above which figures are not worth keeping


class Contestant:
    """One variant, set up in its own namespaces, with its daemons started anew for each round."""

    def __init__(self, variant, mode):
        self.variant = variant
        self._directory = tempfile.mkdtemp(prefix="overlay-bench-")
        try:
            self._lab = Lab(f"{mode[0]}{VARIANTS.index(variant)}", mode, variant.overhead)
        except BaseException:
            shutil.rmtree(self._directory)
            raise
        a, b = self._lab.hosts
        self._tunnels = (variant.a(a, b, self._directory), variant.b(b, a, self._directory))

    def restart(self, generator):
        """Starts new daemons and lets them carry some traffic, for a managed runtime compiles what runs often."""
        for tunnel in self._tunnels:
            tunnel.stop()
        for tunnel in self._tunnels:
            tunnel.start()
        if all(tunnel.daemon is None for tunnel in self._tunnels):
            return
        for arguments, seconds in WARM_UP:
            self.measure(generator, arguments, seconds)

    def measure(self, generator, arguments, seconds):
        a, b = self._lab.hosts
        return generator.run(a, b, arguments, seconds)

    def memory(self):
        """The size of the larger of the two daemons; nothing where there is none."""
        sizes = [size for size in (tunnel.resident_kib() for tunnel in self._tunnels) if size is not None]
        return {"rss_mb": round(max(sizes) * 1024e-6, 2)} if sizes else {}

    def close(self):
        for tunnel in self._tunnels:
            tunnel.stop()
        self._lab.close()
        shutil.rmtree(self._directory)


class Bench:
    def __init__(self, options):
        self._options = options
        self._generator = LoadGenerator(os.path.join(options.tools, "loadgen"))
        self.measurements = []
        self.unavailable = {}

    def run(self):
        for mode in self._options.modes:
            with ExitStack() as stack:
                self._run_mode(mode, stack)

    def _run_mode(self, mode, stack):
        contestants = []
        for variant in self._options.variants:
            missing = variant.missing()
            if missing:
                self._leave_out(variant, missing)
                continue
            contestant = Contestant(variant, mode)
            stack.callback(contestant.close)
            contestants.append(contestant)
        for number in range(self._options.rounds):
            for contestant in list(contestants):
                try:
                    contestant.restart(self._generator)
                except LabError as error:
                    self._leave_out(contestant.variant, str(error))
                    contestants.remove(contestant)
            if not contestants:
                return
            # Each round begins with another variant, so that none always follows the same one.
            turn = number % len(contestants)
            self._run_round(mode, number, contestants[turn:] + contestants[:turn])

    def _run_round(self, mode, number, contestants):
        for workload in self._options.workloads:
            for contestant in contestants:
                variant = contestant.variant
                if variant.workloads and workload.name not in variant.workloads:
                    continue
                note(f"{mode} round {number + 1}/{self._options.rounds} {workload.name} {variant.name}")
                seconds = self._options.seconds * workload.seconds
                self._record(mode, number, workload.name, variant,
                             lambda: contestant.measure(self._generator, workload.arguments, seconds))
        for contestant in contestants:
            self._record(mode, number, MEMORY, contestant.variant, contestant.memory)

    def _record(self, mode, number, workload, variant, measure):
        try:
            figures = measure()
        except LabError as error:
            figures = {"error": str(error)}
            note(f"  {error}")
        if figures:
            self.measurements.append(
                {"mode": mode, "round": number, "workload": workload, "variant": variant.name, **figures})

    def _leave_out(self, variant, reason):
        note(f"{variant.name} is left out: {reason}")
        self.unavailable[variant.name] = reason


def note(text):
    print(text, file=sys.stderr, flush=True)


def names(text):
    return [name for name in text.split(",") if name]


def chosen(text, known, what):
    for name in names(text):
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name}: no such {what}; there are {', '.join(known)}")
    return [known[name] for name in known if name in names(text)]


def chosen_variants(text):
    try:
        return by_name(names(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_options():
    workloads = {workload.name: workload for workload in WORKLOADS}
    modes = {mode: mode for mode in lab.MODES}
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two rounds of 0.4 s: under five minutes")
    parser.add_argument("--rounds", type=int, help="rounds, each with new daemons (5)")
    parser.add_argument("--seconds", type=float, help="measured window; a step of a UDP search is a fifth of it (2)")
    parser.add_argument("--variants", type=chosen_variants, metavar="NAME,...",
                        help=f"of {', '.join(v.name for v in VARIANTS)}; the first two always run; by default all, with "
                             f"--quick all but {', '.join(v.name for v in VARIANTS if not v.quick)}")
    parser.add_argument("--modes", type=lambda text: chosen(text, modes, "mode"), default=list(modes),
                        metavar="NAME,...", help="of wire, veth")
    parser.add_argument("--workloads", type=lambda text: chosen(text, workloads, "workload"), default=list(WORKLOADS),
                        metavar="NAME,...", help=f"of {', '.join(workloads)}")
    parser.add_argument("--output", default="artifacts/bench", metavar="DIR",
                        help="where results.json, results.md and results.svg go (artifacts/bench)")
    parser.add_argument("--overlayd", help=argparse.SUPPRESS, required=True)
    parser.add_argument("--tools", help=argparse.SUPPRESS, required=True)
    options = parser.parse_args()
    options.variants = options.variants or [variant for variant in VARIANTS if variant.quick or not options.quick]
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (0.4 if options.quick else 2.0)
    return options


def machine():
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    return {"kernel": platform.release(), "cpu": model, "cpus": len(os.sched_getaffinity(0)),
            "load_before": round(os.getloadavg()[0], 2)}


def main():
    options = parse_options()
    Overlay.program = options.overlayd
    stop_on_signals()
    started = time.time()
    host = machine()
    if host["load_before"] > BUSY:
        note(f"the machine is busy (load {host['load_before']}): the figures will be noise")
    bench = Bench(options)
    interrupted = False
    try:
        bench.run()
    except KeyboardInterrupt:
        note("interrupted: what was measured until now follows")
        interrupted = True
    results = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "elapsed_seconds": round(time.time() - started),
        "machine": host,
        "settings": {
            "rounds": options.rounds, "seconds": options.seconds, "mtu": 1500, "tcp_rmem": lab.TCP_RMEM,
            "tcp_wmem": lab.TCP_WMEM, "congestion_control": CONGESTION_CONTROL,
        },
        "variants": {variant.name: variant.title for variant in options.variants},
        "unavailable": bench.unavailable,
        "measurements": bench.measurements,
    }
    os.makedirs(options.output, exist_ok=True)
    text = report.markdown(results)
    print(text)
    for name, content in (("results.json", json.dumps(results, indent=1)), ("results.md", text),
                          ("results.svg", chart.draw(results))):
        with open(os.path.join(options.output, name), "w") as file:
            file.write(content + "\n")
    return 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
