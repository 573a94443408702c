using System.Net;
using Overlay.Agent.Pods.Cni;

namespace Overlay.Agent.Configuration;

/// <summary>Reads what a configuration says of pods.</summary>
internal static class PodsReader
{
    private const string DefaultBridge = "overlay-pods";
    private const int DefaultLeakSeconds = 60;
    private const int DefaultCoolDownSeconds = 30;
    private const int MostSeconds = 86_400;

    /// <param name="onlySegment">Where the pods are if the section does not say; null: it has to.</param>
    /// <returns>Null where there is no such section.</returns>
    public static PodsOptions? Read(YamlSection root, string? onlySegment)
    {
        if (!root.Has("pods")) return null;
        YamlSection section = root.Section("pods");
        Located<string>? segment = onlySegment is null
            ? section.Required<string>("segment", "pods", ConfigurationValues.Name)
            : section.OrDefault("segment", onlySegment, ConfigurationValues.Name);
        Located<bool> bridged = section.OrDefault("mode", false, ConfigurationValues.OneOf(("point-to-point", false), ("bridge", true)));
        Located<string>? bridge = null;
        if (bridged) bridge = section.OrDefault<string>("bridge", DefaultBridge, ConfigurationValues.DeviceName);
        else section.Refuse(["bridge"], "is for 'mode: bridge'", "write 'mode: bridge', or leave it out");
        Located<bool> masquerade = section.OrDefault<bool>("masquerade", true, ConfigurationValues.Boolean);
        IReadOnlyList<Located<IPNetwork>> exclude = section.List<IPNetwork>("masqueradeExclude", ConfigurationValues.Prefix);
        if (!masquerade) section.Refuse(["masqueradeExclude"], "has no meaning without masquerading", "leave it out, or write 'masquerade: true'");
        var options = new PodsOptions(
            section.Line,
            segment ?? new Located<string>("", section.Line),
            section.List<IPNetwork>("ranges", ConfigurationValues.Prefix),
            section.List<IPAddress>("reserved", ConfigurationValues.UnicastAddress),
            bridge,
            section.OrDefault<string>("socket", PodsOptions.DefaultSocket, ConfigurationValues.SocketPath),
            section.OrDefault<string>("state", PodsOptions.DefaultState, ConfigurationValues.FilePath),
            masquerade,
            exclude,
            section.OrDefault("leakSeconds", DefaultLeakSeconds, ConfigurationValues.Integer(1, MostSeconds)),
            section.OrDefault("coolDownSeconds", DefaultCoolDownSeconds, ConfigurationValues.Integer(0, MostSeconds)),
            section.OrDefault<bool>("drain", false, ConfigurationValues.Boolean),
            ReadConflist(section));
        section.RefuseUnknownKeys();
        return segment is null ? null : options;
    }

    private static ConflistOptions? ReadConflist(YamlSection pods)
    {
        if (!pods.Has("conflist")) return null;
        YamlSection section = pods.Section("conflist");
        Located<string>? path = section.Required<string>("path", "/etc/cni/net.d/10-overlay.conflist", Conflist);
        var options = new ConflistOptions(
            path ?? new Located<string>("", section.Line),
            section.OrDefault<string>("network", "overlay", ConfigurationValues.Name),
            section.OrDefault("version", CniVersions.V100, ConfigurationValues.OneOf([.. CniVersions.All.Select(version => (version, version))])),
            section.List<string>("plugins", ConfigurationValues.Name));
        section.RefuseUnknownKeys();
        return path is null ? null : options;
    }

    private static Refusal? Conflist(string text, out string value)
    {
        if (ConfigurationValues.FilePath(text, out value) is { } refusal) return refusal;
        return text.EndsWith(".conflist", StringComparison.Ordinal) ? null : new Refusal($"'{text}' does not end in .conflist", "runtimes read no other files");
    }
}
