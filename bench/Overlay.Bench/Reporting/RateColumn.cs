using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace Overlay.Bench.Reporting;

/// <summary>What an operation's time makes of its parameter <see cref="BytesParameter"/>; empty where a benchmark's rate would need it and lacks it.</summary>
/// <param name="name">Head of the column, with its unit.</param>
/// <param name="rate">From nanoseconds and bytes an operation, the bytes NaN where there are none.</param>
internal sealed class RateColumn(string name, Func<double, double, double> rate) : IColumn
{
    /// <summary>Benchmarks whose work grows with a number of bytes have a parameter of this name.</summary>
    private const string BytesParameter = "Bytes";

    public string Id => ColumnName;

    public string ColumnName => name;

    public string Legend => name == "Mpps" ? "Millions of operations, each a packet, per second" : "Bytes of payload per nanosecond";

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Statistics;

    public int PriorityInCategory => 1;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase) => GetValue(summary, benchmarkCase, SummaryStyle.Default);

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style)
    {
        double bytes = benchmarkCase.Parameters.Items.FirstOrDefault(item => item.Name == BytesParameter)?.Value is int value ? value : double.NaN;
        double? nanoseconds = summary[benchmarkCase]?.ResultStatistics?.Mean;
        double result = nanoseconds is { } mean ? rate(mean, bytes) : double.NaN;
        return double.IsNaN(result) ? "" : result.ToString("0.0", CultureInfo.InvariantCulture);
    }
}
