using System.Globalization;
using System.Net;
using Overlay.Csi.Pools;
using Overlay.Csi.Static;
using Overlay.Rpc;

namespace Overlay.Csi;

/// <summary>The driver's command line, as it was written.</summary>
internal sealed record CsiArguments(
    string Name,
    string? NodeId,
    string Agent,
    string? Endpoint,
    string Registration,
    string State,
    IReadOnlyList<string> Pools,
    IReadOnlyList<string> Allow,
    string Api,
    string? Health,
    string ToolSeconds,
    string FreezeSeconds,
    string MaxVolumes);

/// <summary>What the driver was started with, checked.</summary>
/// <param name="Name">Name of the driver, as StorageClasses write it.</param>
/// <param name="NodeId">Name of the node.</param>
/// <param name="Socket">Path that the driver listens on.</param>
/// <param name="RegistrationFolder">Where kubelet looks for plugins; null: somebody else registers the driver.</param>
/// <param name="StateFolder">Records of the volumes, a file each.</param>
/// <param name="Pools">Places of volume images, by name; the first is the default.</param>
/// <param name="Allowed">Sources that static volumes may have.</param>
/// <param name="ApiSocket">Where <c>overlay volumes</c> asks; null: nowhere.</param>
/// <param name="Health">Where the liveness endpoint listens; null: nowhere but on the API socket.</param>
/// <param name="ToolTimeout">Time that mkfs, fsck and the like may take.</param>
/// <param name="FreezeLimit">Time that writers may wait while a volume is copied that is in use.</param>
/// <param name="MaxVolumes">Most volumes that the node is to have.</param>
internal sealed record CsiOptions(
    string Name,
    string NodeId,
    string Socket,
    string? RegistrationFolder,
    string StateFolder,
    IReadOnlyList<PoolOptions> Pools,
    IReadOnlyList<AllowedSource> Allowed,
    string? ApiSocket,
    IPEndPoint? Health,
    TimeSpan ToolTimeout,
    TimeSpan FreezeLimit,
    long MaxVolumes)
{
    private const string None = "none";

    /// <summary>Topology key whose value is the node.</summary>
    public string TopologyKey => $"topology.{Name}/node";

    /// <summary>Adds a line for each thing that is wrong: value, place and remedy.</summary>
    public static async Task<CsiOptions?> ParseAsync(CsiArguments arguments, List<string> problems, CancellationToken cancellation)
    {
        string name = arguments.Name;
        if (name.Length is 0 or > 63 || !char.IsAsciiLetter(name[0]) || !char.IsAsciiLetter(name[^1])
            || name.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter is not ('-' or '.')))
        {
            problems.Add($"--name '{name}': a driver's name has at most 63 letters, digits, '-' and '.', and begins and ends with a letter");
        }
        const string scheme = "unix://";
        string? endpoint = arguments.Endpoint;
        string socket = endpoint is null ? "" : endpoint.StartsWith(scheme, StringComparison.Ordinal) ? endpoint[scheme.Length..] : endpoint;
        CheckSocket(socket, endpoint is null ? "--endpoint, or CSI_ENDPOINT, is missing" : $"--endpoint '{endpoint}'", problems);
        string? folder = arguments.Registration == None ? null : arguments.Registration;
        if (folder is not null) CheckSocket(Registration.SocketPath(folder, name), $"--registration '{folder}'", problems);
        string? api = arguments.Api == None ? null : arguments.Api;
        if (api is not null) CheckSocket(api, $"--api '{api}'", problems);
        if (!Path.IsPathFullyQualified(arguments.State)) problems.Add($"--state '{arguments.State}': give an absolute path");
        IPEndPoint? health = null;
        if (arguments.Health is { } address && (!IPEndPoint.TryParse(address, out health) || health.Port == 0))
        {
            problems.Add($"--health '{address}': write IP:PORT, such as 127.0.0.1:9808");
        }
        long seconds = Number(arguments.ToolSeconds, 1, 86400, "--tool-timeout", problems);
        long freeze = Number(arguments.FreezeSeconds, 1, 3600, "--freeze-limit", problems);
        long volumes = Number(arguments.MaxVolumes, 1, 1 << 20, "--max-volumes", problems);
        IReadOnlyList<PoolOptions>? pools = PoolOptions.ParseAll(arguments.Pools, arguments.State, problems);
        IReadOnlyList<AllowedSource> allowed = AllowedSource.ParseAll(arguments.Allow, problems);
        if (problems.Count > 0 || pools is null) return null;
        string? node = arguments.NodeId ?? await AgentNode.AskAsync(arguments.Agent, problems, cancellation).ConfigureAwait(false);
        if (node is null || !IsNodeId(node, problems)) return null;
        return new CsiOptions(name, node, socket, folder, arguments.State, pools, allowed, api, health, TimeSpan.FromSeconds(seconds), TimeSpan.FromSeconds(freeze), volumes);
    }

    private static bool IsNodeId(string node, List<string> problems)
    {
        if (node.Length is > 0 and <= 63 && char.IsAsciiLetterOrDigit(node[0]) && char.IsAsciiLetterOrDigit(node[^1])
            && node.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_' or '.'))
        {
            return true;
        }
        problems.Add($"--node-id '{node}': it is a topology value, so at most 63 letters, digits, '-', '_' and '.', alphanumeric at its ends");
        return false;
    }

    private static long Number(string text, long least, long most, string place, List<string> problems)
    {
        if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number >= least && number <= most) return number;
        problems.Add($"{place} '{text}': give a number from {least} to {most}");
        return least;
    }

    private static void CheckSocket(string path, string place, List<string> problems)
    {
        if (!Path.IsPathFullyQualified(path) || !path.EndsWith(".sock", StringComparison.Ordinal))
        {
            problems.Add($"{place}: give an absolute path that ends in .sock, such as unix:///var/lib/kubelet/plugins/NAME/csi.sock");
        }
        else if (System.Text.Encoding.UTF8.GetByteCount(path) > LocalApi.MaxSocketPathBytes)
        {
            problems.Add($"{place}: '{path}' is longer than the {LocalApi.MaxSocketPathBytes} bytes a socket's path may have");
        }
    }
}
