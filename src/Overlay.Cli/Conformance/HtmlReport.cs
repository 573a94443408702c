using System.Globalization;
using System.Net;
using System.Text;

namespace Overlay.Cli.Conformance;

/// <summary>A report as one HTML page with its charts in it, which needs no other file and no script.</summary>
internal static class HtmlReport
{
    private const int ChartWidth = 640;
    private const int LabelWidth = 80;
    private const int ValueWidth = 120;
    private const int BarHeight = 22;
    private const int BarGap = 6;

    private const string Style = """
        :root { color-scheme: light dark; --ink: #1c2430; --dim: #5b6675; --paper: #fff; --line: #d9dee5; --overlay: #2f6fde; --underlay: #9aa7b8; --good: #1d7f4e; --bad: #c0322b; --skip: #8a6d00; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #98a3b3; --paper: #161b22; --line: #303844; --overlay: #6ba1ff; --underlay: #6b7788; --good: #4cc38a; --bad: #ff7b72; --skip: #d9b441; } }
        body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
        h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } p { color: var(--dim); margin-top: 0; }
        table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); }
        th { color: var(--dim); font-weight: 500; } td:nth-child(-n+2) { white-space: nowrap; }
        .passed { color: var(--good); } .failed { color: var(--bad); font-weight: 600; } .skipped { color: var(--skip); }
        figure { margin: 1rem 0 1.5rem; } figcaption { margin-bottom: .3rem; } svg { width: 100%; height: auto; max-width: 40rem; }
        svg text { font: 13px system-ui, sans-serif; fill: var(--ink); } .overlay { fill: var(--overlay); } .underlay { fill: var(--underlay); }
        """;

    public static string Page(ConformanceReport report)
    {
        var page = new StringBuilder();
        page.Append(CultureInfo.InvariantCulture, $"""
            <!doctype html>
            <html lang="en">
            <head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Overlay conformance</title>
            <style>
            {Style}
            </style></head>
            <body>
            <h1>Overlay conformance: <span class="{(report.Failed > 0 ? "failed" : "passed")}">{Text(TextReport.Summary(report))}</span></h1>
            <p>{Text(report.Host)}, {report.Started.UtcDateTime:yyyy-MM-dd HH:mm:ss} UTC</p>

            """);
        foreach (FamilyFindings family in report.Families) AppendFamily(page, family);
        page.Append("<h2>What it costs</h2>\n").Append(CultureInfo.InvariantCulture, $"<p>{Text(report.FiguresNote)}</p>\n");
        foreach (Comparison figure in report.Figures) AppendChart(page, figure);
        return page.Append("</body>\n</html>\n").ToString();
    }

    private static void AppendFamily(StringBuilder page, FamilyFindings family)
    {
        page.Append(CultureInfo.InvariantCulture, $"<h2>{Text(family.Family)}, peer {Text(family.Peer)}</h2>\n<table>\n<tr><th>Check</th><th>Outcome</th><th>Found</th></tr>\n");
        foreach (Finding finding in family.Checks)
            page.Append(CultureInfo.InvariantCulture, $"<tr><td>{Text(finding.Check)}</td><td class=\"{finding.Outcome}\">{finding.Outcome}</td><td>{Text(finding.Text)}</td></tr>\n");
        page.Append("</table>\n");
    }

    /// <summary>A bar each for overlay and underlay, on one scale.</summary>
    private static void AppendChart(StringBuilder page, Comparison figure)
    {
        double most = Math.Max(figure.Overlay, figure.Underlay ?? 0);
        (string Name, double Value)[] bars = figure.Underlay is { } bare ? [("overlay", figure.Overlay), ("underlay", bare)] : [("overlay", figure.Overlay)];
        int height = (bars.Length * (BarHeight + BarGap)) - BarGap;
        string better = figure.Unit == "µs" ? "less is better" : "more is better";
        string ratio = figure.Ratio is null ? "" : $", {TextReport.Ratio(figure)} of the underlay";
        page.Append(CultureInfo.InvariantCulture, $"<figure><figcaption>{Text(figure.Name)}{ratio} ({better})</figcaption>\n");
        page.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {ChartWidth} {height}\" role=\"img\" aria-label=\"{Text(figure.Name)}\">\n");
        for (int i = 0; i < bars.Length; i++)
        {
            int top = i * (BarHeight + BarGap);
            double length = most > 0 ? bars[i].Value / most * (ChartWidth - LabelWidth - ValueWidth) : 0;
            double baseline = top + (BarHeight * 0.7);
            page.Append(CultureInfo.InvariantCulture, $"<text x=\"0\" y=\"{baseline:0.#}\">{bars[i].Name}</text>");
            page.Append(CultureInfo.InvariantCulture, $"<rect class=\"{bars[i].Name}\" x=\"{LabelWidth}\" y=\"{top}\" width=\"{length:0.#}\" height=\"{BarHeight}\" rx=\"3\"/>");
            page.Append(CultureInfo.InvariantCulture, $"<text x=\"{LabelWidth + length + 8:0.#}\" y=\"{baseline:0.#}\">{Text(TextReport.Value(bars[i].Value, figure.Unit))}</text>\n");
        }
        page.Append("</svg></figure>\n");
    }

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
