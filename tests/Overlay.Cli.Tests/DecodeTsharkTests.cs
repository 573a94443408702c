using System.Globalization;
using System.Text.Json;
using Overlay.Testing;
using Overlay.Testing.Captures;

namespace Overlay.Cli.Tests;

/// <summary>Our decoder against Wireshark's on sound frames.</summary>
public sealed class DecodeTsharkTests
{
    private const int Frames = 500;

    private static readonly string[] Keys =
    [
        "encap", "vni", "outer_src", "outer_dst", "outer_sport", "outer_dport", "inner_len", "inner_src", "inner_dst", "inner_eth_src",
        "inner_eth_dst", "inner_proto", "flags", "gbp_id", "oam", "critical", "options", "error",
    ];

    [Fact]
    public void Json_SoundFramesOfEveryKind_AgreesWithTshark() => Seeded.Check(1, random =>
    {
        byte[][] frames = [.. Enumerable.Range(0, Frames).Select(_ => RandomTunnels.Frame(random))];
        using var capture = new CaptureOnDisk(PcapFile.Write(frames));
        ProgramRun ours = OverlayProgram.Run("decode", "--json", capture.Path);
        List<TsharkFrame> theirs = TsharkFrame.Decode(capture.Path);

        Assert.Equal((0, ""), (ours.ExitCode, ours.Errors));
        Assert.Equal(Frames, theirs.Count);
        Assert.Equal(Frames, ours.Lines.Length);
        for (int i = 0; i < Frames; i++)
        {
            using JsonDocument line = JsonDocument.Parse(ours.Lines[i]);
            IReadOnlyDictionary<string, string> expected = theirs[i].Expected();
            foreach (string key in Keys)
                Assert.True(expected[key] == Text(line.RootElement.GetProperty(key)), $"frame {i + 1}, {key}: tshark {expected[key]}, we {ours.Lines[i]}");
        }
    });

    private static string Text(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => "",
        JsonValueKind.Number => value.GetInt64().ToString(CultureInfo.InvariantCulture),
        JsonValueKind.Array => string.Join(',', value.EnumerateArray().Select(option =>
            $"{option.GetProperty("class").GetInt32()}/{option.GetProperty("type").GetInt32()}/{option.GetProperty("len").GetInt32()}/{option.GetProperty("data").GetString()}")),
        _ => value.ToString(),
    };
}
