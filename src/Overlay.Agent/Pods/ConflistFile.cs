using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Overlay.Agent.Configuration;
using Overlay.Linux.Storage;

namespace Overlay.Agent.Pods;

/// <summary>
/// The configuration that tells the container runtime of this network. It comes when pods can be added and goes when the node is drained: written whole
/// under another name in the same folder, which runtimes pass over, and renamed. While the daemon is down or starts it stays; calls are put off then.
/// </summary>
internal sealed class ConflistFile(ConflistOptions conflist, PodsOptions pods)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public string Path => conflist.Path;

    /// <returns>False where it was there as it should be.</returns>
    /// <exception cref="IOException">It cannot be written; what was there stays.</exception>
    public bool Install()
    {
        byte[] content = Encoding.UTF8.GetBytes(Content());
        if (File.Exists(Path) && File.ReadAllBytes(Path).AsSpan().SequenceEqual(content)) return false;
        if (System.IO.Path.GetDirectoryName(Path) is { } folder) Directory.CreateDirectory(folder);
        DurableFile.Write(Path, content);
        return true;
    }

    public void Remove()
    {
        if (File.Exists(Path)) DurableFile.Delete(Path);
    }

    internal string Content()
    {
        var own = new JsonObject
        {
            ["type"] = "overlay-cni",
            ["capabilities"] = new JsonObject { ["ips"] = true, ["mac"] = true, ["dns"] = true },
        };
        // The plugin finds us by these, where we are not in the usual place.
        if (pods.Socket.Value != PodsOptions.DefaultSocket) own["socket"] = pods.Socket.Value;
        if (pods.State.Value != PodsOptions.DefaultState) own["pending"] = System.IO.Path.Combine(pods.State, "pending");
        var plugins = new JsonArray((JsonNode)own);
        foreach (string type in conflist.Plugins.Select(plugin => plugin.Value)) plugins.Add((JsonNode)Chained(type));
        return new JsonObject
        {
            ["cniVersion"] = conflist.Version.Value,
            ["name"] = conflist.Network.Value,
            ["plugins"] = plugins,
        }.ToJsonString(Indented) + "\n";
    }

    /// <summary>
    /// The capabilities of those reference plugins that have any. Not tuning's MAC: ours has been asked for it, and setting it again, even the same,
    /// has the kernel forget the pod's next hop.
    /// </summary>
    private static JsonObject Chained(string type)
    {
        var plugin = new JsonObject { ["type"] = type };
        string? capability = type switch
        {
            "portmap" => "portMappings",
            "bandwidth" => "bandwidth",
            _ => null,
        };
        if (capability is not null) plugin["capabilities"] = new JsonObject { [capability] = true };
        return plugin;
    }
}
