using System.Text;

namespace Overlay.Agent.Pods.Cni;

internal enum CniCommand
{
    Add,
    Del,
    Check,
    Gc,
    Status,
}

/// <summary>One call of the plugin, checked in itself. What the command does not need is empty.</summary>
/// <param name="Arguments">Of CNI_ARGS; names as they were written.</param>
internal sealed record CniCall(
    CniCommand Command, string ContainerId, string Namespace, string Interface, IReadOnlyDictionary<string, string> Arguments, CniConfiguration Configuration)
{
    private const int MostInterfaceBytes = 15;
    private const string IgnoreUnknown = "IgnoreUnknown";

    private static readonly string[] KnownArguments =
        [IgnoreUnknown, "IP", "MAC", "K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID", "K8S_POD_INFRA_CONTAINER_ID"];

    public string? PodNamespace => Arguments.GetValueOrDefault("K8S_POD_NAMESPACE");

    public string? PodName => Arguments.GetValueOrDefault("K8S_POD_NAME");

    public string? PodUid => Arguments.GetValueOrDefault("K8S_POD_UID");

    /// <summary>How errors and the log call it.</summary>
    public string Pod => NameOf(PodNamespace, PodName, $"container {ContainerId}, {Interface}");

    /// <exception cref="CniException">Something is missing or not understood.</exception>
    public static CniCall Read(CniMessage message)
    {
        try
        {
            return Understand(message);
        }
        catch (CniException exception) when (PodOf(message) is { } pod)
        {
            throw new CniException(exception.Code, $"{pod}: {exception.Message}", exception.Details, exception);
        }
    }

    private static CniCall Understand(CniMessage message)
    {
        string verb = Variable(message, "CNI_COMMAND") ?? throw Missing("CNI_COMMAND", "the call");
        CniCommand command = verb switch
        {
            "ADD" => CniCommand.Add,
            "DEL" => CniCommand.Del,
            "CHECK" => CniCommand.Check,
            "GC" => CniCommand.Gc,
            "STATUS" => CniCommand.Status,
            _ => throw new CniException(CniErrorCode.InvalidEnvironment, $"CNI_COMMAND is '{verb}'", "the commands are ADD, DEL, CHECK, GC, STATUS and VERSION"),
        };
        CniConfiguration configuration = CniConfiguration.Read(message.Input, command);
        string least = command switch
        {
            CniCommand.Check => CniVersions.V040,
            CniCommand.Gc or CniCommand.Status => CniVersions.V110,
            _ => CniVersions.V031,
        };
        if (!CniVersions.IsAtLeast(configuration.Version, least))
            throw new CniException(CniErrorCode.IncompatibleVersion, $"cniVersion {configuration.Version} knows no {verb}", $"it takes {least}");
        if (command is CniCommand.Gc or CniCommand.Status) return new CniCall(command, "", "", "", new Dictionary<string, string>(), configuration);

        string container = Variable(message, "CNI_CONTAINERID") ?? throw Missing("CNI_CONTAINERID", verb);
        if (!IsContainerId(container))
            throw new CniException(CniErrorCode.InvalidEnvironment, $"CNI_CONTAINERID is '{container}'", "letters, digits, '_', '.' and '-' are allowed, a letter or digit first");
        string device = Variable(message, "CNI_IFNAME") ?? throw Missing("CNI_IFNAME", verb);
        if (!IsInterfaceName(device))
            throw new CniException(CniErrorCode.InvalidEnvironment, $"CNI_IFNAME is '{device}'", $"the kernel takes at most {MostInterfaceBytes} bytes, without '/', ':', '%' and blanks");
        string space = Variable(message, "CNI_NETNS") ?? (command == CniCommand.Del ? "" : throw Missing("CNI_NETNS", verb));
        // What a deletion says of it is not looked at.
        if (command != CniCommand.Del && space[0] != '/')
            throw new CniException(CniErrorCode.InvalidEnvironment, $"CNI_NETNS is '{space}', which is no absolute path", "overlayd does not run in the runtime's folder");
        return new CniCall(command, container, space, device, ReadArguments(Variable(message, "CNI_ARGS") ?? "", command), configuration);
    }

    private static string NameOf(string? space, string? name, string container)
    {
        if (string.IsNullOrEmpty(name)) return container;
        return string.IsNullOrEmpty(space) ? $"pod {name} ({container})" : $"pod {space}/{name} ({container})";
    }

    /// <summary>As far as a call that cannot be understood tells; null: it is about none.</summary>
    private static string? PodOf(CniMessage message)
    {
        if (Variable(message, "CNI_CONTAINERID") is not { } container) return null;
        string[] arguments = (Variable(message, "CNI_ARGS") ?? "").Split(';', StringSplitOptions.TrimEntries);
        return NameOf(Of("K8S_POD_NAMESPACE="), Of("K8S_POD_NAME="), Variable(message, "CNI_IFNAME") is { } device ? $"container {container}, {device}" : $"container {container}");

        string? Of(string key) => Array.Find(arguments, argument => argument.StartsWith(key, StringComparison.Ordinal))?[key.Length..];
    }

    private static string? Variable(CniMessage message, string name) =>
        message.Environment.GetValueOrDefault(name) is { Length: > 0 } value ? value : null;

    private static CniException Missing(string variable, string verb) =>
        new(CniErrorCode.InvalidEnvironment, $"{variable} is not set, which {verb} takes");

    /// <summary>Pairs behind semicolons. An ADD is refused for what is not understood, unless it is to be passed over; what follows is not.</summary>
    private static Dictionary<string, string> ReadArguments(string text, CniCommand command)
    {
        var arguments = new Dictionary<string, string>();
        foreach (string pair in text.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            int equals = pair.IndexOf('=', StringComparison.Ordinal);
            if (equals > 0) arguments[pair[..equals]] = pair[(equals + 1)..];
            else if (command == CniCommand.Add) throw new CniException(CniErrorCode.InvalidEnvironment, $"CNI_ARGS has '{pair}', which is no KEY=VALUE");
        }
        string ignore = arguments.GetValueOrDefault(IgnoreUnknown, "0").ToLowerInvariant();
        if (command != CniCommand.Add || ignore is "1" or "true") return arguments;
        if (ignore is not ("0" or "false")) throw new CniException(CniErrorCode.InvalidEnvironment, $"{IgnoreUnknown} of CNI_ARGS is '{ignore}'", "write 1 or 0");
        if (arguments.Keys.FirstOrDefault(key => !KnownArguments.Contains(key)) is { } unknown)
            throw new CniException(CniErrorCode.InvalidEnvironment, $"CNI_ARGS has the unknown key '{unknown}'", $"known are {string.Join(", ", KnownArguments)}; with {IgnoreUnknown}=1 others are passed over");
        return arguments;
    }

    private static bool IsContainerId(string text) =>
        char.IsAsciiLetterOrDigit(text[0]) && text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '_' or '.' or '-');

    private static bool IsInterfaceName(string text) =>
        Encoding.UTF8.GetByteCount(text) <= MostInterfaceBytes && text is not ("." or "..")
        && !text.Any(letter => letter is '/' or ':' or '%' || char.IsWhiteSpace(letter) || char.IsControl(letter));
}
