using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using Perfolizer.Horology;

namespace Overlay.Bench.Reporting;

/// <summary>
/// How stages are measured: a process for each row, iterations of a tenth of a second, long enough to show a change of five per cent on a
/// machine that does nothing else, and short enough for all rows in a few minutes.
/// </summary>
internal static class StageConfig
{
    public static IConfig Create() => ManualConfig.Create(DefaultConfig.Instance)
        .AddJob(Job.Default.WithWarmupCount(4).WithIterationCount(8).WithIterationTime(TimeInterval.FromMilliseconds(100)))
        .AddColumn(new RateColumn("Mpps", (nanoseconds, _) => 1000 / nanoseconds))
        .AddColumn(new RateColumn("GB/s", (nanoseconds, bytes) => bytes / nanoseconds))
        .HideColumns(Column.Error, Column.Median, Column.RatioSD, Column.AllocRatio)
        .WithOptions(ConfigOptions.DisableLogFile);
}
