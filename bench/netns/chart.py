"""Draws the comparison of a run as SVG: a column an underlay mode, a panel a metric, a bar a variant."""

from statistics import median
from xml.sax.saxutils import escape

from report import measured_variants, modes_of, ratio, samples
from variants import BARE, KERNEL
from workloads import METRICS

COLUMN, LABEL, BAR, VALUE, RATIO = 500, 214, 160, 58, 50
ROW, TITLE, GAP, TOP, MARGIN = 18, 24, 16, 62, 16
THICKNESS = 12
LONGEST = 3  # times the bar of kernel VXLAN: longer ones are cut, or the slowest would leave nothing of the rest to see
SHOWN = {
    ("tcp1", "gbps"), ("tcp4", "gbps"), ("udp64", "flood_delivered_pps"), ("udp64", "pps_at_1pct_loss"),
    ("udp1400", "flood_delivered_pps"), ("request-response", "p50_us"), ("tcp1", "cpu_seconds_per_gb"),
}
STYLE = """
  svg { font: 12px system-ui, sans-serif; }
  .page, .cut { fill: #ffffff; } .text { fill: #1f2328; } .quiet { fill: #59636e; }
  .own { fill: #0a7c66; } .kernel { fill: #57606a; } .other { fill: #afb8c1; } .mark { stroke: #1f2328; }
  @media (prefers-color-scheme: dark) {
    .page, .cut { fill: #0d1117; } .text { fill: #f0f6fc; } .quiet { fill: #9198a1; }
    .own { fill: #3fc7a9; } .kernel { fill: #8b949e; } .other { fill: #484f58; } .mark { stroke: #f0f6fc; }
  }
"""


def draw(results):
    """The whole picture. It brings its own background for light and dark, so it is readable on any page."""
    shapes = []
    bottom = TOP
    for column, mode in enumerate(modes_of(results)):
        left = MARGIN + column * COLUMN
        shapes.append(text(left, TOP - 14, f"underlay {mode}", "text", weight="600"))
        y = TOP
        for metric in METRICS:
            if (metric.workload, metric.key) in SHOWN:
                panel, y = draw_panel(results, mode, metric, left, y)
                shapes += panel
        bottom = max(bottom, y)
    width, height = 2 * MARGIN + max(1, len(modes_of(results))) * COLUMN, bottom + MARGIN
    machine = results["machine"]
    caption = (f"Medians of {results['settings']['rounds']} rounds on {machine['cpus']} CPUs, Linux {machine['kernel']}; "
               "ratios and dashed line: kernel VXLAN")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(caption)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}" rx="8"/>',
        text(MARGIN, 24, caption, "quiet"),
        *shapes,
        "</svg>",
    ])


def draw_panel(results, mode, metric, left, top):
    """The shapes of one panel and where the next one begins; nothing where the metric was not measured."""
    values = {name: samples(results, mode, name, metric) for name in measured_variants(results, mode)}
    medians = {name: median(runs) for name, runs in values.items() if runs}
    if not medians or max(medians.values()) <= 0:
        return [], top
    longest = min(max(medians.values()), LONGEST * medians.get(KERNEL, max(medians.values())))
    scale = BAR / longest
    better = "lower is better" if metric.lower_is_better else "higher is better"
    shapes = [text(left, top + 14, f"{metric.title}, {metric.unit}", "text", weight="600"),
              text(left + LABEL + BAR + VALUE + RATIO, top + 14, better, "quiet", anchor="end")]
    for row, (name, value) in enumerate(medians.items()):
        y = top + TITLE + row * ROW
        style = "kernel" if name == KERNEL else "own" if name.startswith("overlay") else "other"
        times = ratio(results, mode, name, metric, KERNEL)
        bar = max(1, min(value, longest) * scale)
        shapes += [
            text(left + LABEL - 8, y + 11, results["variants"][name], "text", anchor="end"),
            f'<rect class="{style}" x="{left + LABEL}" y="{y + 1}" width="{bar:.1f}" height="{THICKNESS}" rx="2"/>',
            text(left + LABEL + BAR + VALUE, y + 11, f"{value:.{metric.digits}f}", "text", anchor="end"),
        ]
        if value > longest:
            shapes.append(f'<path class="cut" d="M{left + LABEL + BAR - 12} {y + 14}l4 -14h4l-4 14z"/>')
        if times is not None and name not in (KERNEL, BARE):
            shapes.append(text(left + LABEL + BAR + VALUE + RATIO, y + 11, f"{times:.2f}x", "quiet", anchor="end"))
    if KERNEL in medians:
        x = left + LABEL + medians[KERNEL] * scale
        shapes.append(f'<path class="mark" stroke-dasharray="2 3" d="M{x:.1f} {top + TITLE - 1}v{len(medians) * ROW - 2}"/>')
    return shapes, top + TITLE + len(medians) * ROW + GAP


def text(x, y, content, style, anchor="start", weight="400"):
    return (f'<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{escape(content)}</text>")
