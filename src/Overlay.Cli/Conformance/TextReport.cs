using System.Globalization;
using Overlay.Cli.Top;

namespace Overlay.Cli.Conformance;

/// <summary>A report for people.</summary>
internal static class TextReport
{
    public static void Write(ConformanceReport report, TextWriter output)
    {
        foreach (FamilyFindings family in report.Families)
        {
            output.WriteLine($"{family.Family}, peer {family.Peer}");
            var table = new TextTable(TextTable.Text("CHECK"), TextTable.Text("OUTCOME"), TextTable.Text("FOUND"));
            foreach (Finding finding in family.Checks) table.Add(finding.Check, finding.Outcome == "failed" ? "FAILED" : finding.Outcome, finding.Text);
            table.Write(output);
            output.WriteLine();
        }
        output.WriteLine(report.FiguresNote);
        if (report.Figures.Count > 0)
        {
            var table = new TextTable(TextTable.Text("FIGURE"), TextTable.Number("OVERLAY"), TextTable.Number("UNDERLAY"), TextTable.Number("RATIO"));
            foreach (Comparison figure in report.Figures)
                table.Add(figure.Name, Value(figure.Overlay, figure.Unit), figure.Underlay is { } bare ? Value(bare, figure.Unit) : "-", Ratio(figure));
            table.Write(output);
        }
        output.WriteLine();
        output.WriteLine(Summary(report));
    }

    public static string Summary(ConformanceReport report) =>
        string.Create(CultureInfo.InvariantCulture, $"{report.Passed} passed, {report.Failed} failed, {report.Skipped} skipped");

    public static string Value(double value, string unit) => unit == "µs" ? $"{value.ToString("0.0", CultureInfo.InvariantCulture)} µs" : TopView.Si(value, unit);

    public static string Ratio(Comparison figure) => figure.Ratio is { } ratio ? ratio.ToString("0.00", CultureInfo.InvariantCulture) + "x" : "-";
}
