using System.Globalization;
using BenchmarkDotNet.Reports;

namespace Overlay.Bench.Reporting;

/// <summary>The tables of a run in one Markdown file.</summary>
internal static class StageReport
{
    private const string FileName = "stages.md";

    /// <summary>Writes beside the results of the run; does nothing where nothing ran.</summary>
    public static void Write(IEnumerable<Summary> summaries)
    {
        Summary[] ran = [.. summaries.Where(summary => summary.Reports.Length > 0)];
        if (ran.Length == 0) return;
        string path = Path.Combine(ran[0].ResultsDirectoryPath, FileName);
        using var writer = new StreamWriter(path);
        writer.WriteLine("# Stages of the packet path\n");
        writer.WriteLine("Each operation is one packet, parse, lookup or sum; of a super-packet, one of its segments. GB/s counts payload.\n");
        foreach (string line in ran[0].HostEnvironmentInfo.ToFormattedString()) writer.WriteLine($"- {line}");
        foreach (Summary summary in ran.OrderBy(summary => Title(summary), StringComparer.Ordinal)) WriteTable(writer, summary);
        Console.WriteLine($"Report: {path}");
    }

    private static string Title(Summary summary)
    {
        Type type = summary.BenchmarksCases[0].Descriptor.Type;
        return string.Create(
            CultureInfo.InvariantCulture, $"{type.Namespace?.Split('.')[^1]}: {type.Name.Replace("Benchmarks", "", StringComparison.Ordinal)}");
    }

    private static void WriteTable(StreamWriter writer, Summary summary)
    {
        SummaryTable.SummaryTableColumn[] columns = [.. summary.Table.Columns.Where(column => column.NeedToShow)];
        writer.WriteLine($"\n## {Title(summary)}\n");
        writer.WriteLine($"| {string.Join(" | ", columns.Select(column => column.Header))} |");
        writer.WriteLine($"|{string.Concat(columns.Select(column => column.OriginalColumn.IsNumeric ? "---:|" : "---|"))}");
        foreach (string[] row in summary.Table.FullContent)
            writer.WriteLine($"| {string.Join(" | ", columns.Select(column => row[column.Index].Length == 0 ? "-" : row[column.Index]))} |");
    }
}
