using System.Text.Json.Serialization;

namespace Overlay.Rpc;

/// <summary>How the documents of the local API are written as JSON: camelCase, indented, without reflection.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(StatusDocument))]
[JsonSerializable(typeof(FdbDocument))]
[JsonSerializable(typeof(PodsDocument))]
[JsonSerializable(typeof(AddressCheckDocument))]
[JsonSerializable(typeof(HealthDocument))]
[JsonSerializable(typeof(VolumesDocument))]
[JsonSerializable(typeof(IReadOnlyList<PeerStatus>))]
[JsonSerializable(typeof(RouteListDocument))]
[JsonSerializable(typeof(RouteLookupDocument))]
[JsonSerializable(typeof(ExplainQuestion))]
[JsonSerializable(typeof(ExplanationDocument))]
[JsonSerializable(typeof(ArrivalQuestion))]
[JsonSerializable(typeof(ArrivalDocument))]
public sealed partial class StatusJson : JsonSerializerContext;
