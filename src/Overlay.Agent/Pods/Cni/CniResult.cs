using System.Net.Sockets;
using System.Text.Json.Nodes;
using Overlay.Control.Model;

namespace Overlay.Agent.Pods.Cni;

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

    public static string DefaultRoute(AddressFamily family) => family == AddressFamily.InterNetwork ? "0.0.0.0/0" : "::/0";

    private static JsonObject Interface(string name, string mac, int mtu, string? sandbox, string version)
    {
        var made = new JsonObject { ["name"] = name, ["mac"] = mac };
        if (CniVersions.IsAtLeast(version, CniVersions.V110)) made["mtu"] = mtu;
        if (sandbox is not null) made["sandbox"] = sandbox;
        return made;
    }

    private static JsonArray List(JsonObject result, string key)
    {
        if (result[key] is JsonArray list) return list;
        var created = new JsonArray();
        result[key] = created;
        return created;
    }
}
