using BenchmarkDotNet.Running;
using Overlay.Bench.Reporting;

namespace Overlay.Bench;

/// <summary>Runs the benchmarks that the arguments select, <c>--filter '*'</c> all of them, and writes one report of their tables.</summary>
internal static class Program
{
    private static void Main(string[] arguments) =>
        StageReport.Write(BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(arguments, StageConfig.Create()));
}
