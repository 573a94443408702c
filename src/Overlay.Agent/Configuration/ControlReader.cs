using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.Rpc;

namespace Overlay.Agent.Configuration;

/// <summary>What a node needs to be told of networks and peers by controllers.</summary>
/// <param name="Line">Of the section.</param>
/// <param name="Controllers">Tried in turn.</param>
/// <param name="State">Folder of what outlives the daemon.</param>
/// <param name="Networks">Those that this node joins; null: all.</param>
internal sealed record ControlOptions(
    int Line,
    IReadOnlyList<Located<DnsEndPoint>> Controllers,
    Located<string> Certificate,
    Located<string> Key,
    Located<string> Authority,
    Located<string> State,
    Located<string>? Zone,
    IReadOnlyList<Located<KeyValuePair<string, string>>> Labels,
    IReadOnlyList<Located<string>>? Networks)
{
    /// <summary>Addresses of a network and family that are free at once, under which another block is asked for.</summary>
    public Located<int> LowWater { get; init; } = new(32, Line);

    /// <summary>Such addresses that a node keeps when it gives idle blocks back.</summary>
    public Located<int> HighWater { get; init; } = new(128, Line);

    /// <summary>For comparison: what takes a restart to change.</summary>
    public string Text => string.Join(
        ' ', [.. Controllers.Select(each => $"{each.Value.Host}:{each.Value.Port}"), Certificate.Value, Key.Value, Authority.Value, State.Value,
            Zone?.Value ?? "", .. Labels.Select(each => $"{each.Value.Key}={each.Value.Value}"), .. Networks?.Select(each => each.Value) ?? ["(all)"],
            LowWater.ToString(), HighWater.ToString()]);
}

/// <summary>Reads the section <c>control:</c> of a configuration.</summary>
internal static class ControlReader
{
    private const int MostWarm = 65_536;

    /// <returns>Null where there is none, or, with the reasons among the problems, where it is refused.</returns>
    public static ControlOptions? Read(YamlSection root, ConfigurationProblems problems)
    {
        if (!root.Has("control")) return null;
        root.Refuse(["segments", "peers", "routes"], "contradicts 'control:', by which the controller tells them", "leave it out, or leave out 'control:'");
        YamlSection section = root.Section("control");
        IReadOnlyList<Located<DnsEndPoint>> controllers = section.List<DnsEndPoint>("controllers", Controller);
        if (controllers.Count == 0 && !problems.Any)
            problems.Add(section.Line, "control has no 'controllers'", "write 'controllers: [controller.example:7443]'");
        Located<string>? certificate = section.Required<string>("certificate", "/etc/overlay/node.pem", ConfigurationValues.FilePath);
        Located<string>? key = section.Required<string>("key", "/etc/overlay/node.key", ConfigurationValues.FilePath);
        Located<string>? authority = section.Required<string>("authority", "/etc/overlay/ca.pem", ConfigurationValues.FilePath);
        Located<string> state = section.OrDefault<string>("state", "/var/lib/overlay/node", ConfigurationValues.FilePath);
        Located<string>? zone = section.Optional<string>("zone", ConfigurationValues.Name);
        IReadOnlyList<Located<KeyValuePair<string, string>>> labels = section.List<KeyValuePair<string, string>>("labels", Label);
        IReadOnlyList<Located<string>>? networks = section.Has("networks") ? section.List<string>("networks", ConfigurationValues.Name) : null;
        Located<int> low = section.OrDefault("lowWater", 32, ConfigurationValues.Integer(1, MostWarm));
        Located<int> high = section.OrDefault("highWater", Math.Max(128, low), ConfigurationValues.Integer(1, MostWarm));
        if (high.Value < low) problems.Add(high.Line, $"'highWater' of control is {high}, below 'lowWater', {low}", "write a larger 'highWater': blocks would be asked for and given back by turns");
        section.RefuseUnknownKeys();
        return certificate is { } c && key is { } k && authority is { } a ? new ControlOptions(section.Line, controllers, c, k, a, state, zone, labels, networks)
        {
            LowWater = low,
            HighWater = high,
        } : null;
    }

    private static Refusal? Controller(string text, out DnsEndPoint value)
    {
        int colon = text.LastIndexOf(':');
        bool isBareIPv6 = IPAddress.TryParse(text, out IPAddress? address) && address.AddressFamily == AddressFamily.InterNetworkV6 && !text.StartsWith('[');
        bool hasPort = colon > 0 && !isBareIPv6 && !text.EndsWith(']');
        int port = ControllerApi.DefaultPort;
        string host = (hasPort ? text[..colon] : text).Trim('[', ']');
        bool good = Uri.CheckHostName(host) != UriHostNameType.Unknown
            && (!hasPort || (int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) && port is > 0 and < 65536));
        value = new DnsEndPoint(good ? host : "localhost", good ? port : ControllerApi.DefaultPort);
        return good ? null : new Refusal($"'{text}' is no host with a port", "write it as controller.example:7443 or [2001:db8::1]:7443");
    }

    private static Refusal? Label(string text, out KeyValuePair<string, string> value)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        value = new(equals > 0 ? text[..equals] : text, equals > 0 ? text[(equals + 1)..] : "");
        return equals > 0 && text.Length <= 128 && !text.Any(char.IsControl) ? null : new Refusal($"'{text}' is no label", "write 'rack=r7', at most 128 characters");
    }
}
