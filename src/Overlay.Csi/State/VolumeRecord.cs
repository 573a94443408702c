using System.Text.Json.Serialization;

namespace Overlay.Csi.State;

/// <summary>How far a volume has come. It is written before the step that it names.</summary>
internal enum VolumePhase
{
    /// <summary>The image is being made; nobody was told of the volume yet.</summary>
    Creating,

    /// <summary>The image is there.</summary>
    Ready,

    /// <summary>The image is being removed.</summary>
    Deleting,
}

/// <summary>What is remembered of a volume: one JSON file.</summary>
/// <param name="Id">As the orchestrator knows it.</param>
/// <param name="Name">As it was asked for.</param>
/// <param name="Pool">Name of the pool.</param>
/// <param name="CapacityBytes">Length of the image.</param>
/// <param name="Reserved">Whether the pool's space was taken at once.</param>
/// <param name="Shape">Parameters and capabilities it was asked for with, in one notation.</param>
/// <param name="Inode">Of the image, so that another file in its place is not taken for it; 0 while it is being made.</param>
internal sealed record VolumeRecord(
    string Id, string Name, string Pool, long CapacityBytes, bool Reserved, string Shape, VolumePhase Phase, ulong Inode);

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    RespectRequiredConstructorParameters = true,
    RespectNullableAnnotations = true)]
[JsonSerializable(typeof(VolumeRecord))]
internal sealed partial class VolumeJson : JsonSerializerContext;
