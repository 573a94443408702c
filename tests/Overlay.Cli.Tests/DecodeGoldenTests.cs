using System.Text.Json;
using Overlay.Testing;

namespace Overlay.Cli.Tests;

/// <summary>Captures that the kernel and other programs made, against the lines that a second decoder reads in them.</summary>
public sealed class DecodeGoldenTests
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "golden");

    public static TheoryData<string> Captures => [.. Directory.GetFiles(Folder, "*.json").Select(path => Path.GetFileNameWithoutExtension(path)!).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Captures))]
    public void Json_CaptureOfAnotherProgram_IsReadAsByTheReference(string capture)
    {
        string path = Path.Combine(Folder, capture);
        string[] expected = File.ReadAllLines(path + ".json");
        ProgramRun run = OverlayProgram.Run("decode", "--json", path);

        bool isDamaged = capture.StartsWith("damaged", StringComparison.Ordinal);
        Assert.Equal(isDamaged ? 1 : 0, run.ExitCode);
        Assert.Equal(isDamaged, run.Errors.Length > 0);
        Assert.NotEmpty(expected);
        Assert.Equal(expected.Select(Normal), run.Lines.Select(Normal));
    }

    /// <summary>The line as it is, but for the words of an error.</summary>
    private static string Normal(string line)
    {
        using JsonDocument document = JsonDocument.Parse(line);
        return string.Join(' ', document.RootElement.EnumerateObject().Select(
            property => property.Name == "error" ? $"error:{property.Value.ValueKind}" : $"{property.Name}:{property.Value.GetRawText()}"));
    }
}
