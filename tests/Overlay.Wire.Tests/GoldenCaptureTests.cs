using System.Text.Json;
using Overlay.Wire.Capture;

namespace Overlay.Wire.Tests;

/// <summary>Captures made by the kernel: our views read in every frame what tshark reads in it.</summary>
public sealed class GoldenCaptureTests
{
    [Theory]
    [InlineData("outer-ipv4", 20)]
    [InlineData("outer-ipv6", 20)]
    [InlineData("inner-fragments", 12)]
    [InlineData("inner-injected", 7)]
    public void Views_EveryFrameOfTheCapture_ReadWhatTsharkReads(string name, int minFrames)
    {
        string path = Path.Combine(AppContext.BaseDirectory, "golden", name);
        string[] expected = File.ReadAllLines($"{path}.json");
        using FileStream file = File.OpenRead($"{path}.pcap");
        CaptureReader reader = CaptureReader.Open(file);
        int frames = 0;
        for (; reader.TryRead(out CapturedFrame frame); frames++)
            Assert.Equal(Expected(expected[frames]), Lines(TsharkFields.Read(frame.Data)));

        Assert.Equal(expected.Length, frames);
        Assert.InRange(frames, minFrames, 100);
    }

    private static List<string> Expected(string line)
    {
        using var document = JsonDocument.Parse(line);
        var fields = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        foreach (JsonProperty field in document.RootElement.GetProperty("layers").EnumerateObject())
            fields[field.Name] = [.. field.Value.EnumerateArray().Select(value => value.GetString()!)];
        return Lines(fields);
    }

    private static List<string> Lines(SortedDictionary<string, List<string>> fields) =>
        [.. fields.Select(field => $"{field.Key}: {string.Join(' ', field.Value)}")];
}
