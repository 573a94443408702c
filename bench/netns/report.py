"""Medians, spread and ratios of a run, as Markdown."""

from statistics import median

import lab
from variants import BARE, KERNEL
from workloads import METRICS


def samples(results, mode, variant, metric):
    """The scaled values of one metric, one a round; failed runs have none."""
    return [row[metric.key] * metric.scale for row in results["measurements"]
            if row["mode"] == mode and row["variant"] == variant and row["workload"] == metric.workload
            and metric.key in row]


def modes_of(results):
    return list(dict.fromkeys(row["mode"] for row in results["measurements"]))


def measured_variants(results, mode):
    present = {row["variant"] for row in results["measurements"] if row["mode"] == mode}
    return [name for name in results["variants"] if name in present]


def ratio(results, mode, variant, metric, baseline):
    """Median to median, or None where either is missing or zero."""
    own, base = samples(results, mode, variant, metric), samples(results, mode, baseline, metric)
    return median(own) / median(base) if own and base and median(base) > 0 else None


def markdown(results):
    machine, settings = results["machine"], results["settings"]
    lines = [
        f"{results['date']}, {machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}, "
        f"load {machine['load_before']:.2f} before the start; "
        f"{settings['rounds']} rounds of {settings['seconds']:g} s, new daemons each round; MTU {settings['mtu']}, "
        f"`tcp_rmem={settings['tcp_rmem']}`, `tcp_wmem={settings['tcp_wmem']}`, {settings['congestion_control']}. "
        "Median (lowest–highest). ↓: lower is better.",
    ]
    for mode in modes_of(results):
        variants = measured_variants(results, mode)
        lines += ["", f"### Underlay `{mode}`", "", f"{lab.MODES[mode]}.", ""]
        lines += table(results, variants, lambda metric, variant: figure(samples(results, mode, variant, metric), metric))
        lines += ["", "Ratio to kernel VXLAN (to bare veth):", ""]
        lines += table(results, [name for name in variants if name != BARE],
                       lambda metric, variant: ratios(results, mode, variant, metric))
    failures = [row for row in results["measurements"] if "error" in row]
    if results["unavailable"] or failures:
        lines += ["", "Left out or failed:", ""]
        lines += [f"- {name}: {reason}" for name, reason in results["unavailable"].items()]
        lines += [f"- {row['mode']} round {row['round'] + 1} {row['workload']} {row['variant']}: {row['error']}"
                  for row in failures]
    return "\n".join(lines)


def table(results, variants, cell):
    rows = [["", *(results["variants"][name] for name in variants)], ["---", *("---:" for _ in variants)]]
    for metric in METRICS:
        cells = [cell(metric, variant) for variant in variants]
        if any(cells):
            arrow = " ↓" if metric.lower_is_better else ""
            rows.append([f"{metric.title}, {metric.unit}{arrow}", *cells])
    return ["| " + " | ".join(row) + " |" for row in rows]


def figure(values, metric):
    if not values:
        return ""
    shown = f"{median(values):.{metric.digits}f}"
    return f"{shown} ({min(values):.{metric.digits}f}–{max(values):.{metric.digits}f})" if len(values) > 1 else shown


def ratios(results, mode, variant, metric):
    to_kernel = ratio(results, mode, variant, metric, KERNEL)
    to_bare = ratio(results, mode, variant, metric, BARE)
    if to_kernel is None:
        return ""
    return f"{to_kernel:.2f}x" + (f" ({to_bare:.2f}x)" if to_bare is not None else "")
