using BenchmarkDotNet.Running;

namespace Overlay.Bench;

/// <summary>Runs the benchmarks that the arguments select; <c>--filter '*'</c> runs all.</summary>
internal static class Program
{
    private static void Main(string[] arguments) => BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(arguments);
}
