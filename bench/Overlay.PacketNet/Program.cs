using BenchmarkDotNet.Running;

namespace Overlay.PacketNet;

/// <summary>Compares the speed of our decoder with that of PacketDotNet, and of our capture reader with SharpPcap's.</summary>
internal static class Program
{
    private static void Main(string[] arguments) => BenchmarkRunner.Run<DecodeBenchmarks>(args: arguments);
}
