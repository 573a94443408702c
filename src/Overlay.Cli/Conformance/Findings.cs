using System.Text.Json.Serialization;

namespace Overlay.Cli.Conformance;

/// <param name="Outcome"><c>passed</c>, <c>failed</c>, or <c>skipped</c> where something needed was not given.</param>
/// <param name="Text">What was found; of what was skipped, what to give.</param>
public sealed record Finding(string Check, string Outcome, string Text);

/// <summary>What was found of the way to one address of the peer.</summary>
/// <param name="Family"><c>IPv4</c> or <c>IPv6</c>.</param>
public sealed record FamilyFindings(string Family, string Peer, IReadOnlyList<Finding> Checks);

/// <summary>The way through the overlay beside the bare underlay.</summary>
/// <param name="Name">Of the figure.</param>
/// <param name="Unit"><c>µs</c> or <c>bit/s</c>.</param>
/// <param name="Overlay">Median of the rounds.</param>
/// <param name="Underlay">Likewise, of the same rounds; null: not measured.</param>
public sealed record Comparison(string Name, string Unit, double Overlay, double? Underlay)
{
    /// <summary>Overlay to underlay; null: the underlay was not measured.</summary>
    public double? Ratio => Underlay is > 0 ? Overlay / Underlay : null;
}

/// <summary>What <c>overlay conformance run</c> found.</summary>
/// <param name="Started">When, in UTC.</param>
/// <param name="Rounds">Of measurements, overlay and underlay in turn.</param>
public sealed record ConformanceReport(
    DateTimeOffset Started, string Host, IReadOnlyList<FamilyFindings> Families, IReadOnlyList<Comparison> Figures, string FiguresNote, int Rounds)
{
    public int Failed => Families.Sum(family => family.Checks.Count(check => check.Outcome == "failed"));

    public int Skipped => Families.Sum(family => family.Checks.Count(check => check.Outcome == "skipped"));

    public int Passed => Families.Sum(family => family.Checks.Count(check => check.Outcome == "passed"));
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(ConformanceReport))]
internal sealed partial class ReportJson : JsonSerializerContext;
