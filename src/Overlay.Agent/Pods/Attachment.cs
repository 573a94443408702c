using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;
using Overlay.Control.Model;

namespace Overlay.Agent.Pods;

/// <summary>An address of an attachment, with the length of its on-link prefix, and the next hop of its family.</summary>
internal sealed record AttachedAddress(string Address, string Gateway)
{
    [JsonIgnore]
    public InterfaceAddress Parsed
    {
        get
        {
            int slash = Address.IndexOf('/', StringComparison.Ordinal);
            return new InterfaceAddress(IPAddress.Parse(Address.AsSpan(0, slash)), int.Parse(Address.AsSpan(slash + 1), System.Globalization.CultureInfo.InvariantCulture));
        }
    }
}

/// <summary>
/// One interface of a container, as the journal has it. It is written before anything is made and again when all is, so whatever a crash
/// leaves can be found, and undone by what is written here.
/// </summary>
internal sealed record Attachment
{
    /// <summary>
    /// Begins the name of every interface that we make on the host, and of none that others do: what comes by one is looked at, and those of OpenVPN
    /// are called <c>ovpn0</c>.
    /// </summary>
    public const string InterfacePrefix = "ovp-";

    /// <summary>Name of the CNI network.</summary>
    public required string Network { get; init; }

    public required string ContainerId { get; init; }

    /// <summary>Name in the container.</summary>
    public required string Interface { get; init; }

    /// <summary>Path of the network namespace when it was added.</summary>
    public required string Namespace { get; init; }

    /// <summary>Which namespace that was, as the path may come to name another.</summary>
    public required string NamespaceId { get; init; }

    public required string HostInterface { get; init; }

    public required DateTimeOffset Since { get; init; }

    /// <summary>Boot of the host: namespaces and interfaces do not outlive it.</summary>
    public required string Boot { get; init; }

    public string? PodNamespace { get; init; }

    public string? PodName { get; init; }

    public string? PodUid { get; init; }

    public IReadOnlyList<AttachedAddress> Addresses { get; init; } = [];

    public string Mac { get; init; } = "";

    /// <summary>Bytes of an IP packet.</summary>
    public int Mtu { get; init; }

    /// <summary>All is made; otherwise it is to be undone, unless the call is still running.</summary>
    public bool IsWired { get; init; }

    /// <summary>For whom addresses are held.</summary>
    [JsonIgnore]
    public string Owner => OwnerOf(Network, ContainerId, Interface);

    /// <summary>Whose addresses are kept for it when it comes again in another container; null: nobody's.</summary>
    [JsonIgnore]
    public string? Identity => string.IsNullOrEmpty(PodName) ? null : $"{Network}/{PodNamespace}/{PodName}/{Interface}";

    /// <summary>How messages call it.</summary>
    [JsonIgnore]
    public string Label => string.IsNullOrEmpty(PodName) ? $"container {ContainerId}, {Interface}" : $"pod {PodNamespace}/{PodName}, {Interface}";

    public static string OwnerOf(string network, string containerId, string device) => $"{network}/{containerId}/{device}";

    /// <summary>The name on the host depends on the attachment only, so that it is found without a record.</summary>
    public static string HostInterfaceOf(string owner) => InterfacePrefix + Digest(owner)[..11];

    /// <summary>A name for files, from any text.</summary>
    public static string Digest(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}

/// <summary>The addresses that a pod had last, and for whom they were held.</summary>
internal sealed record RememberedPod(string Owner, string[] Addresses);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(Attachment))]
[JsonSerializable(typeof(RememberedPod))]
internal sealed partial class AttachmentJson : JsonSerializerContext;
