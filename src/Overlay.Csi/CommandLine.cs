using System.CommandLine;
using Microsoft.Extensions.Logging;

namespace Overlay.Csi;

/// <summary>The driver's command line.</summary>
internal static class CommandLine
{
    /// <summary>Runs the driver.</summary>
    /// <param name="createLogs">Made once the options are sound.</param>
    /// <returns>0 after a signal, 1 where it cannot run or the kubelet refuses it, 2 where an option is refused.</returns>
    public static async Task<int> RunAsync(string[] arguments, Func<ILoggerFactory> createLogs)
    {
        var endpoint = new Option<string?>("--endpoint") { Description = "Socket to listen on: unix:///PATH.sock. Default: CSI_ENDPOINT.", HelpName = "URL" };
        var nodeId = new Option<string?>("--node-id") { Description = "Name of this node. Default: that of overlayd, which is asked.", HelpName = "NAME" };
        Option<string> agent = WithDefault("--agent", "Socket of overlayd, asked where --node-id is missing.", "PATH", Rpc.LocalApi.DefaultSocket);
        Option<string> name = WithDefault("--name", "Name of the driver.", "NAME", "csi.overlay.local");
        Option<string> registration = WithDefault("--registration", "Folder in which the kubelet looks for plugins, or none.", "FOLDER", "/var/lib/kubelet/plugins_registry");
        Option<string> state = WithDefault("--state", "Folder of the volumes' records.", "FOLDER", "/var/lib/overlay/csi");
        var pools = new Option<string[]>("--pool") { Description = "Folder that holds volumes, image:FILE,SIZE or device:NODE; the first is the default.", HelpName = "NAME=PLACE" };
        var allow = new Option<string[]>("--allow") { Description = "Source that static volumes may have; none without it.", HelpName = "KIND:SOURCE" };
        Option<string> api = WithDefault("--api", "Socket where `overlay volumes` asks, or none.", "PATH", Rpc.LocalApi.DefaultVolumesSocket);
        var health = new Option<string?>("--health") { Description = "Address of the liveness endpoint, /healthz, and of /metrics.", HelpName = "IP:PORT" };
        Option<string> toolSeconds = WithDefault("--tool-timeout", "Seconds that mkfs, fsck and the like may take.", "SECONDS", "300");
        Option<string> freezeSeconds = WithDefault("--freeze-limit", "Seconds that writers may wait while a volume is copied.", "SECONDS", "15");
        Option<string> most = WithDefault("--max-volumes", "Most volumes that the node is to have.", "NUMBER", "256");
        var root = new RootCommand("Volumes for pods: a CSI driver.")
        {
            endpoint, nodeId, agent, name, registration, state, pools, allow, api, health, toolSeconds, freezeSeconds, most,
        };
        root.SetAction(async (parsed, cancellation) =>
        {
            var problems = new List<string>();
            CsiOptions? options = await CsiOptions.ParseAsync(
                new CsiArguments(
                    parsed.GetValue(name)!,
                    parsed.GetValue(nodeId),
                    parsed.GetValue(agent)!,
                    parsed.GetValue(endpoint) ?? Environment.GetEnvironmentVariable("CSI_ENDPOINT"),
                    parsed.GetValue(registration)!,
                    parsed.GetValue(state)!,
                    parsed.GetValue(pools) ?? [],
                    parsed.GetValue(allow) ?? [],
                    parsed.GetValue(api)!,
                    parsed.GetValue(health),
                    parsed.GetValue(toolSeconds)!,
                    parsed.GetValue(freezeSeconds)!,
                    parsed.GetValue(most)!),
                problems,
                cancellation).ConfigureAwait(false);
            foreach (string problem in problems) await Console.Error.WriteLineAsync(problem).ConfigureAwait(false);
            if (options is null) return 2;
            using ILoggerFactory logs = createLogs();
            return await new Driver(options, logs).RunAsync().ConfigureAwait(false) ? 0 : 1;
        });
        ParseResult commandLine = root.Parse(arguments);
        int code = await commandLine.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null })
            .ConfigureAwait(false);
        return commandLine.Errors.Count > 0 ? 2 : code;
    }

    private static Option<string> WithDefault(string name, string description, string helpName, string value) =>
        new(name) { Description = description, HelpName = helpName, DefaultValueFactory = _ => value };
}
