using System.Net;
using Overlay.Wire;

namespace Overlay.Agent.Configuration;

/// <summary>Reads what a configuration says of bridged segments.</summary>
internal static class BridgingReader
{
    private const int DefaultAgeingSeconds = 300;
    private const int DefaultLearnLimit = 4096;
    private const int MostAgeingSeconds = 1_000_000;
    private const int MostLearned = 1_000_000;

    private static readonly string[] Keys =
        ["bridge", "learning", "ageingSeconds", "learnLimit", "flood", "unknownUnicast", "unknownNeighbours", "learnNeighbours", "reservedGroups", "fdb", "neighbours"];

    private static readonly ValueParser<bool> FloodOrDrop = ConfigurationValues.OneOf(("flood", true), ("drop", false));

    /// <returns>Null for a routed segment.</returns>
    public static BridgingOptions? Read(YamlSection section)
    {
        Located<bool> bridged = section.OrDefault("kind", false, ConfigurationValues.OneOf(("routed", false), ("bridged", true)));
        if (!bridged)
        {
            section.Refuse(Keys, "is for bridged segments", "write 'kind: bridged', or leave it out");
            return null;
        }
        var options = new BridgingOptions(
            bridged.Line,
            section.Optional<string>("bridge", ConfigurationValues.DeviceName),
            section.OrDefault<bool>("learning", true, ConfigurationValues.Boolean),
            section.OrDefault("ageingSeconds", DefaultAgeingSeconds, ConfigurationValues.Integer(1, MostAgeingSeconds)),
            section.OrDefault("learnLimit", DefaultLearnLimit, ConfigurationValues.Integer(1, MostLearned)),
            section.Has("flood") ? section.List<string>("flood", ConfigurationValues.Name) : null,
            section.OrDefault("unknownUnicast", true, FloodOrDrop),
            section.OrDefault("unknownNeighbours", true, FloodOrDrop),
            section.OrDefault<bool>("learnNeighbours", false, ConfigurationValues.Boolean),
            section.OrDefault("reservedGroups", false, ConfigurationValues.OneOf(("drop", false), ("forward", true))),
            [.. ReadFdb(section)],
            [.. ReadNeighbours(section)]);
        if (!options.Learning) section.Refuse(["ageingSeconds", "learnLimit", "learnNeighbours"], "has no meaning without learning", "leave it out, or write 'learning: true'");
        return options;
    }

    private static IEnumerable<FixedMacOptions> ReadFdb(YamlSection segment)
    {
        foreach (YamlSection entry in segment.Sections("fdb", "an entry of fdb"))
        {
            Located<MacAddress>? mac = entry.Required<MacAddress>("mac", "02:00:00:00:00:0a", ConfigurationValues.Mac);
            if (mac is { } known) entry.Name = $"fdb {known}";
            Located<bool> local = entry.OrDefault<bool>("local", false, ConfigurationValues.Boolean);
            Located<string>? peer = local ? null : entry.Required<string>("peer", "node-b", ConfigurationValues.Name);
            if (local) entry.Refuse(["peer"], "contradicts 'local: true'", "keep one of them");
            entry.RefuseUnknownKeys();
            if (mac is { } m && (local || peer is not null)) yield return new FixedMacOptions(m, peer);
        }
    }

    private static IEnumerable<NeighbourOptions> ReadNeighbours(YamlSection segment)
    {
        foreach (YamlSection entry in segment.Sections("neighbours", "a neighbour"))
        {
            Located<IPAddress>? address = entry.Required<IPAddress>("address", "10.0.0.5", ConfigurationValues.UnicastAddress);
            if (address is { } known) entry.Name = $"neighbour {known}";
            Located<MacAddress>? mac = entry.Required<MacAddress>("mac", "02:00:00:00:00:0a", ConfigurationValues.Mac);
            Located<bool> router = entry.OrDefault<bool>("router", false, ConfigurationValues.Boolean);
            entry.RefuseUnknownKeys();
            if (address is { } a && mac is { } m) yield return new NeighbourOptions(a, m, router);
        }
    }
}
