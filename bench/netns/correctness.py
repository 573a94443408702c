"""Proves that what arrives is what was sent, over good and bad underlays: every byte, ECN mark and place in order.

Not a measurement: it has no timing gate, and ends with one line `N passed, N failed`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

from lab import Lab, LabError, stop_on_signals
from trials import PAIRS, SHORT, UNDERLAYS, selection
from tunnels import Overlay
from workloads import LoadGenerator

PACED = 2000  # datagrams a second: slow enough that none is lost, even where a busy machine pauses a daemon
FLOOD = 0


class Failure(Exception):
    """A promise was broken; the text says which."""


class Trial:
    """One pair of tunnels over one underlay."""

    def __init__(self, options, number, pair, underlay):
        self._underlay = underlay
        self._seconds = options.seconds
        self._families = options.families
        self._generator = LoadGenerator(os.path.join(options.tools, "loadgen"))
        self._relay = (os.path.join(options.tools, "perturb"), "--seed", str(options.seed), *pair.perturbation())
        self._number = number
        self._pair = pair

    def run(self):
        directory = tempfile.mkdtemp(prefix="overlay-bench-")
        tunnels = []
        lab = None
        try:
            lab = Lab(f"c{self._number}", self._underlay.mode, self._pair.overhead(self._underlay), self._underlay.mtu,
                      self._relay if self._underlay.perturbed else None, ("net.ipv4.tcp_ecn=1",), self._underlay.family)
            a, b = lab.hosts
            for kind, host, peer in ((self._pair.a, a, b), (self._pair.b, b, a)):
                tunnels.append(kind(host, peer, directory))
                tunnels[-1].start()
            return self._check(lab)
        finally:
            for tunnel in tunnels:
                tunnel.stop()
            if lab is not None:
                lab.close()
            shutil.rmtree(directory)

    def _check(self, lab):
        """Runs all traffic and returns what was verified, as text."""
        a, b = lab.hosts
        verified, datagrams = 0, 0
        for family in self._families:
            for arguments in ((), ("--streams", "4"), ("--reverse",), ("--reverse", "--streams", "4")):
                figures = self._generator.run(a, b, ("tcp", "--verify", *arguments), self._seconds, family)
                if figures["verified_bytes"] == 0:
                    raise Failure(f"tcp {' '.join(arguments)}, IPv{family}: nothing arrived")
                verified += figures["verified_bytes"]
            largest = a.pod_mtu - (28 if family == 4 else 48)
            for client, server in ((a, b), (b, a)):
                for size, rate in ((largest, PACED), (3 * largest, PACED / 4), (largest, FLOOD), (64, FLOOD)):
                    datagrams += self._datagrams(client, server, family, size, rate)
        text = f"{verified * 1e-9:.2f} GB and {datagrams} datagrams verified"
        if self._underlay.perturbed:
            done = json.loads(lab.stop_relay())
            idle = [what for what in self._pair.disturbances if not done[what]]
            if idle:
                raise Failure(f"the underlay was not bad enough to prove anything: none {', '.join(idle)}")
            text += ", underlay: " + ", ".join(f"{count} {what}" for what, count in done.items() if count)
        return text

    def _datagrams(self, client, server, family, size, rate):
        figures = self._generator.run(
            client, server, ("udp", "--verify", "--size", str(size), "--rate", f"{rate:g}"), self._seconds, family)
        what = f"udp of up to {size} B at {f'{rate:g}/s' if rate else 'full rate'} from {client.name}, IPv{family}"
        if figures["received"] == 0:
            raise Failure(f"{what}: nothing arrived")
        if not self._underlay.perturbed:
            wrong = {key: figures[key] for key in ("duplicates", "reordered") if figures[key]}
            if rate != FLOOD and figures["received"] != figures["sent"]:
                wrong["lost"] = figures["sent"] - figures["received"]
            if wrong:
                raise Failure(f"{what}: of {figures['sent']} {wrong}")
        return figures["received"]


def parse_options():
    def chosen(known):
        def parse(text):
            names = text.split(",")
            for name in names:
                if name not in known:
                    raise argparse.ArgumentTypeError(f"{name}: not one of {', '.join(known)}")
            return [known[name] for name in names]
        return parse

    parser = argparse.ArgumentParser(prog="scripts/bench correctness", description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=chosen(PAIRS), default=list(PAIRS.values()), metavar="NAME,...",
                        help=f"of {', '.join(PAIRS)}")
    parser.add_argument("--underlays", type=chosen(UNDERLAYS), default=list(UNDERLAYS.values()), metavar="NAME,...",
                        help=f"of {', '.join(UNDERLAYS)}")
    parser.add_argument("--short", action="store_true",
                        help=f"a choice of {len(SHORT)} trials with little traffic each, in about two minutes")
    parser.add_argument("--seconds", type=float, help="of traffic for each of the runs of a trial (1; short: 0.2)")
    parser.add_argument("--seed", type=int, default=1, help="of what the bad underlay does (1)")
    parser.add_argument("--families", type=lambda text: [int(family) for family in text.split(",")], default=[4, 6],
                        metavar="4,6", help="inner address families")
    parser.add_argument("--overlayd", help=argparse.SUPPRESS, required=True)
    parser.add_argument("--tools", help=argparse.SUPPRESS, required=True)
    options = parser.parse_args()
    options.seconds = options.seconds or (0.2 if options.short else 1.0)
    return options


def main():
    options = parse_options()
    Overlay.program = options.overlayd
    stop_on_signals()
    trials = SHORT if options.short else selection(options.pairs, options.underlays)
    failed = 0
    for number, (pair, underlay) in enumerate(trials):
        try:
            verdict = f"ok    {pair.name} over {underlay.name}: {Trial(options, number, pair, underlay).run()}"
        except (Failure, LabError) as error:
            failed += 1
            verdict = f"FAIL  {pair.name} over {underlay.name}: {error}"
        print(verdict, flush=True)
    print(f"{len(trials) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
