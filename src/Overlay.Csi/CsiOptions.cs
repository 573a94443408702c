using Overlay.Rpc;

namespace Overlay.Csi;

/// <summary>What the driver was started with, checked.</summary>
/// <param name="Name">Name of the driver, as StorageClasses write it.</param>
/// <param name="NodeId">Name of the node.</param>
/// <param name="Socket">Path that the driver listens on.</param>
/// <param name="RegistrationFolder">Where kubelet looks for plugins; null: somebody else registers the driver.</param>
/// <param name="StateFolder">Records of the volumes, a file each.</param>
/// <param name="Pools">Folders of volume images, by name; the first is the default.</param>
internal sealed record CsiOptions(
    string Name,
    string NodeId,
    string Socket,
    string? RegistrationFolder,
    string StateFolder,
    IReadOnlyList<PoolOptions> Pools)
{
    /// <summary>Topology key whose value is the node.</summary>
    public string TopologyKey => $"topology.{Name}/node";

    /// <summary>Adds a line for each thing that is wrong: value, place and remedy.</summary>
    public static CsiOptions? Parse(
        string name, string nodeId, string? endpoint, string registration, string state, IReadOnlyList<string> pools, List<string> problems)
    {
        if (name.Length is 0 or > 63 || !char.IsAsciiLetter(name[0]) || !char.IsAsciiLetter(name[^1])
            || name.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter is not ('-' or '.')))
        {
            problems.Add($"--name '{name}': a driver's name has at most 63 letters, digits, '-' and '.', and begins and ends with a letter");
        }
        if (nodeId.Length is 0 or > 63 || !char.IsAsciiLetterOrDigit(nodeId[0]) || !char.IsAsciiLetterOrDigit(nodeId[^1])
            || nodeId.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter is not ('-' or '_' or '.')))
        {
            problems.Add($"--node-id '{nodeId}': it is a topology value, so at most 63 letters, digits, '-', '_' and '.', alphanumeric at its ends");
        }
        const string scheme = "unix://";
        string socket = endpoint is null ? "" : endpoint.StartsWith(scheme, StringComparison.Ordinal) ? endpoint[scheme.Length..] : endpoint;
        CheckSocket(socket, endpoint is null ? "--endpoint, or CSI_ENDPOINT, is missing" : $"--endpoint '{endpoint}'", problems);
        string? folder = registration == "none" ? null : registration;
        if (folder is not null) CheckSocket(Registration.SocketPath(folder, name), $"--registration '{folder}'", problems);
        if (!Path.IsPathFullyQualified(state)) problems.Add($"--state '{state}': give an absolute path");
        return problems.Count == 0 && PoolOptions.ParseAll(pools, problems) is { } parsed
            ? new CsiOptions(name, nodeId, socket, folder, state, parsed)
            : null;
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

/// <param name="Name">Value of the StorageClass parameter <c>pool</c>.</param>
/// <param name="Folder">Where its images are. It exists, and holds nothing else that is called <c>vol-….img</c>.</param>
internal sealed record PoolOptions(string Name, string Folder)
{
    public static IReadOnlyList<PoolOptions>? ParseAll(IReadOnlyList<string> texts, List<string> problems)
    {
        var pools = new List<PoolOptions>();
        foreach (string text in texts)
        {
            int equals = text.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? "" : text[..equals];
            string folder = text[(equals + 1)..];
            if (name.Length == 0 || !Path.IsPathFullyQualified(folder)) problems.Add($"--pool '{text}': write NAME=/absolute/folder");
            else if (!Directory.Exists(folder)) problems.Add($"--pool '{text}': {folder} is no folder; make it, or mount its disk, first");
            else if (pools.Any(pool => pool.Name == name)) problems.Add($"--pool '{text}': {name} was given already");
            else pools.Add(new PoolOptions(name, Path.TrimEndingDirectorySeparator(folder)));
        }
        if (texts.Count == 0) problems.Add("--pool is missing: write NAME=/absolute/folder for each folder that holds volumes");
        return problems.Count == 0 ? pools : null;
    }
}
