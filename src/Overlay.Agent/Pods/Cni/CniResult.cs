using System.Net.Sockets;
using System.Text.Json.Nodes;
using Overlay.Control.Model;

namespace Overlay.Agent.Pods.Cni;

/// <summary>What CHECK is to find: a plugin behind ours may have given the interface another MAC or taken routes out, and says so in its result.</summary>
/// <param name="Mac">Of the container's interface.</param>
/// <param name="Routes">Destinations.</param>
internal sealed record ExpectedAttachment(Attachment Attachment, string Mac, IReadOnlySet<string> Routes);

/// <summary>The result of ADD (CNI specification 1.1, "ADD Success"): what came before is kept, ours is added behind it.</summary>
internal static class CniResult
{
    /// <param name="attachment">What was made.</param>
    /// <param name="hostMac">Of the end on the host.</param>
    /// <param name="configuration">Whose version and previous result to answer with.</param>
    public static JsonObject Of(Attachment attachment, string hostMac, CniConfiguration configuration)
    {
        string version = configuration.Version;
        JsonObject result = configuration.PreviousResult is { } previous ? (JsonObject)previous.DeepClone() : [];
        result["cniVersion"] = version;
        JsonArray interfaces = List(result, "interfaces");
        interfaces.Add((JsonNode)Interface(attachment.HostInterface, hostMac, attachment.Mtu, null, version));
        interfaces.Add((JsonNode)Interface(attachment.Interface, attachment.Mac, attachment.Mtu, attachment.Namespace, version));
        int index = interfaces.Count - 1;
        JsonArray ips = List(result, "ips");
        JsonArray routes = List(result, "routes");
        foreach (AttachedAddress address in attachment.Addresses)
        {
            InterfaceAddress own = address.Parsed;
            var ip = new JsonObject { ["address"] = address.Address, ["gateway"] = address.Gateway, ["interface"] = index };
            if (!CniVersions.IsAtLeast(version, CniVersions.V100)) ip["version"] = own.IsIPv6 ? "6" : "4";
            ips.Add((JsonNode)ip);
            routes.Add((JsonNode)new JsonObject { ["dst"] = DefaultRoute(own.Address.AddressFamily), ["gw"] = address.Gateway });
        }
        if (configuration.Dns is { } dns && (result["dns"] is not JsonObject { Count: > 0 })) result["dns"] = dns.DeepClone();
        result["dns"] ??= new JsonObject();
        return result;
    }

    /// <param name="attachment">As it was made.</param>
    /// <param name="result">Of the last plugin.</param>
    public static ExpectedAttachment Expected(Attachment attachment, JsonObject result)
    {
        JsonObject? made = Objects(result, "interfaces").FirstOrDefault(each => Text(each, "name") == attachment.Interface && Text(each, "sandbox") is { Length: > 0 });
        return new ExpectedAttachment(
            attachment, (made is null ? null : Text(made, "mac")) ?? attachment.Mac, Objects(result, "routes").Select(route => Text(route, "dst") ?? "").ToHashSet());
    }

    /// <summary>The addresses of a result, with the lengths of their prefixes.</summary>
    public static IEnumerable<string?> Addresses(JsonObject result) => Objects(result, "ips").Select(ip => Text(ip, "address"));

    public static string DefaultRoute(AddressFamily family) => family == AddressFamily.InterNetwork ? "0.0.0.0/0" : "::/0";

    private static JsonObject Interface(string name, string mac, int mtu, string? sandbox, string version)
    {
        var made = new JsonObject { ["name"] = name, ["mac"] = mac };
        if (CniVersions.IsAtLeast(version, CniVersions.V110)) made["mtu"] = mtu;
        if (sandbox is not null) made["sandbox"] = sandbox;
        return made;
    }

    private static IEnumerable<JsonObject> Objects(JsonObject result, string key) => result[key] is JsonArray list ? list.OfType<JsonObject>() : [];

    private static string? Text(JsonObject of, string key) => of[key] is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    private static JsonArray List(JsonObject result, string key)
    {
        if (result[key] is JsonArray list) return list;
        var created = new JsonArray();
        result[key] = created;
        return created;
    }
}
