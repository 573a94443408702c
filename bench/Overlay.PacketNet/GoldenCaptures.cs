namespace Overlay.PacketNet;

/// <summary>The captures of <c>tests/golden</c>, beside the program.</summary>
public static class GoldenCaptures
{
    public static IReadOnlyList<string> Files { get; } =
        [.. Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "golden"), "*.pcap").Order(StringComparer.Ordinal)];
}
