using System.Text.Json.Serialization;

namespace Overlay.Cli.Top;

/// <summary>One object a line.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(TopFrame))]
internal sealed partial class TopJson : JsonSerializerContext;
