using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Overlay.Control.Model;
using Overlay.Wire;

namespace Overlay.Agent.Pods.Cni;

/// <summary>One attachment that a runtime still has (GC).</summary>
internal readonly record struct CniAttachmentId(string ContainerId, string Interface);

/// <summary>What a network configuration says to this plugin. Members of others, and of runtimes, are passed over.</summary>
internal sealed record CniConfiguration
{
    public required string Version { get; init; }

    /// <summary>Name of the network.</summary>
    public required string Name { get; init; }

    /// <summary>Result of the plugins before, or of ADD; null: none.</summary>
    public JsonObject? PreviousResult { get; init; }

    /// <summary>What the pod is to be told of DNS, in the result's form.</summary>
    public JsonObject? Dns { get; init; }

    /// <summary>Addresses asked for (capability <c>ips</c>).</summary>
    public IReadOnlyList<IPAddress> Addresses { get; init; } = [];

    /// <summary>Hardware address asked for (capability <c>mac</c>).</summary>
    public MacAddress? Mac { get; init; }

    /// <summary>GC: what the runtime still has; null: it does not say.</summary>
    public IReadOnlyCollection<CniAttachmentId>? ValidAttachments { get; init; }

    /// <summary>
    /// Reads what a command takes. A deletion takes no more than the name: it has to undo what an ADD of the same configuration began before it was
    /// refused, whatever that was refused for.
    /// </summary>
    /// <exception cref="CniException">It is not understood.</exception>
    public static CniConfiguration Read(byte[] input, CniCommand command)
    {
        JsonElement root = Decode(input);
        string version = Text(root, "cniVersion") ?? "0.1.0";
        if (!CniVersions.All.Contains(version))
            throw new CniException(
                CniErrorCode.IncompatibleVersion, $"cniVersion '{version}' is not supported", $"the versions are {string.Join(", ", CniVersions.All)}");
        string name = Text(root, "name") is { Length: > 0 } given ? given : throw Invalid("the configuration has no 'name'");
        if (name.Contains('/', StringComparison.Ordinal)) throw Invalid($"the network's name is '{name}'; it may hold no '/'");
        if (command == CniCommand.Del) return new CniConfiguration { Version = version, Name = name };
        if (Find(root, "ipam") is { ValueKind: JsonValueKind.Object } ipam && ipam.EnumerateObject().Any())
            throw new CniException(CniErrorCode.UnsupportedField, "the configuration has 'ipam'", "leave it out: overlayd hands out the addresses");
        JsonElement runtime = Find(root, "runtimeConfig") ?? default;
        return new CniConfiguration
        {
            Version = version,
            Name = name,
            PreviousResult = Find(root, "prevResult") switch
            {
                null or { ValueKind: JsonValueKind.Null } => null,
                { ValueKind: JsonValueKind.Object } previous => JsonObject.Create(previous.Clone()),
                _ => throw Invalid("'prevResult' is no object"),
            },
            Dns = RuntimeDns(Find(runtime, "dns")) ?? (Find(root, "dns") is { ValueKind: JsonValueKind.Object } dns ? JsonObject.Create(dns.Clone()) : null),
            Addresses = ReadAddresses(Find(runtime, "ips")),
            Mac = Text(runtime, "mac") is { } mac ? ReadMac(mac, "'mac' of runtimeConfig") : null,
            ValidAttachments = ReadAttachments(Find(root, "cni.dev/valid-attachments") ?? Find(root, "cni.dev/attachments")),
        };
    }

    /// <summary>The version of a configuration that is refused, to answer in; the newest where it says none that is spoken.</summary>
    public static string VersionOf(byte[] input)
    {
        try
        {
            string? version = Text(Decode(input), "cniVersion");
            return version is not null && CniVersions.All.Contains(version) ? version : CniVersions.V110;
        }
        catch (CniException)
        {
            return CniVersions.V110;
        }
    }

    /// <summary>An address, alone or with the length of its prefix, which the network decides.</summary>
    /// <exception cref="CniException">It is none that an interface can have.</exception>
    public static IPAddress ReadAddress(string text, string where, CniErrorCode code = CniErrorCode.InvalidConfiguration) =>
        text.Contains('/', StringComparison.Ordinal)
            ? Value<InterfaceAddress>(text, where, code, ConfigurationValues.InterfaceAddress).Address
            : Value<IPAddress>(text, where, code, ConfigurationValues.UnicastAddress);

    /// <exception cref="CniException">It is none that an interface can have.</exception>
    public static MacAddress ReadMac(string text, string where, CniErrorCode code = CniErrorCode.InvalidConfiguration) =>
        Value<MacAddress>(text, where, code, ConfigurationValues.Mac);

    private static T Value<T>(string text, string where, CniErrorCode code, ValueParser<T> parse) =>
        parse(text, out T value) is { } refusal ? throw new CniException(code, $"{where}: {refusal.Wrong}", refusal.Remedy) : value;

    private static JsonElement Decode(byte[] input)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(input, new JsonDocumentOptions { AllowDuplicateProperties = false });
            RequireText(document.RootElement);
            if (document.RootElement.ValueKind == JsonValueKind.Object) return document.RootElement.Clone();
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new CniException(CniErrorCode.DecodingFailed, $"the configuration is no JSON: {error.Message}", "", error);
        }
        throw new CniException(CniErrorCode.DecodingFailed, "the configuration is no JSON object");
    }

    /// <summary>Throws where a name or text is not UTF-8, or escapes half a character, which the parser leaves to whoever reads it.</summary>
    private static void RequireText(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                element.GetString();
                break;
            case JsonValueKind.Array:
                foreach (JsonElement item in element.EnumerateArray()) RequireText(item);
                break;
            case JsonValueKind.Object:
                foreach (JsonProperty property in element.EnumerateObject())
                {
                    _ = property.Name;
                    RequireText(property.Value);
                }
                break;
            default:
                break;
        }
    }

    /// <summary>Runtimes differ in the case of keys; the exact one goes first.</summary>
    private static JsonElement? Find(JsonElement of, string key)
    {
        if (of.ValueKind != JsonValueKind.Object) return null;
        if (of.TryGetProperty(key, out JsonElement exact)) return exact;
        foreach (JsonProperty property in of.EnumerateObject())
        {
            if (property.Name.Equals(key, StringComparison.OrdinalIgnoreCase)) return property.Value;
        }
        return null;
    }

    private static string? Text(JsonElement of, string key) => Find(of, key) switch
    {
        null or { ValueKind: JsonValueKind.Null } => null,
        { ValueKind: JsonValueKind.String } text => text.GetString(),
        _ => throw Invalid($"'{key}' is no text"),
    };

    private static List<JsonElement> Items(JsonElement? list, string key) => list switch
    {
        null or { ValueKind: JsonValueKind.Null } => [],
        { ValueKind: JsonValueKind.Array } array => [.. array.EnumerateArray()],
        _ => throw Invalid($"'{key}' is no list"),
    };

    private static IPAddress[] ReadAddresses(JsonElement? list) =>
    [
        .. Items(list, "ips").Select(item => item.ValueKind == JsonValueKind.String
            ? ReadAddress(item.GetString()!, "'ips' of runtimeConfig")
            : throw Invalid("'ips' of runtimeConfig holds something else than text")),
    ];

    private static JsonObject? RuntimeDns(JsonElement? dns)
    {
        if (dns is not { ValueKind: JsonValueKind.Object } given) return null;
        var result = new JsonObject();
        foreach ((string from, string to) in new[] { ("servers", "nameservers"), ("searches", "search"), ("options", "options") })
        {
            if (Find(given, from) is { ValueKind: JsonValueKind.Array } list && list.GetArrayLength() > 0) result[to] = JsonArray.Create(list.Clone());
        }
        return result.Count > 0 ? result : null;
    }

    private static List<CniAttachmentId>? ReadAttachments(JsonElement? list)
    {
        if (list is null) return null;
        var attachments = new List<CniAttachmentId>();
        foreach (JsonElement item in Items(list, "cni.dev/valid-attachments"))
        {
            if (Text(item, "containerID") is not { } container || Text(item, "ifname") is not { } device)
                throw Invalid("an item of 'cni.dev/valid-attachments' has no 'containerID' or no 'ifname'");
            attachments.Add(new CniAttachmentId(container, device));
        }
        return attachments;
    }

    private static CniException Invalid(string message) => new(CniErrorCode.InvalidConfiguration, message);
}
