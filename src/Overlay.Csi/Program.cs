using System.CommandLine;
using Microsoft.Extensions.Logging;
using Overlay.Csi;
using Overlay.Rpc.Hosting;

var endpoint = new Option<string?>("--endpoint") { Description = "Socket to listen on: unix:///PATH.sock. Default: CSI_ENDPOINT.", HelpName = "URL" };
var nodeId = new Option<string>("--node-id") { Description = "Name of this node.", HelpName = "NAME", Required = true };
var name = new Option<string>("--name") { Description = "Name of the driver.", HelpName = "NAME", DefaultValueFactory = _ => "csi.overlay.local" };
var registration = new Option<string>("--registration")
{
    Description = "Folder in which the kubelet looks for plugins, or none.",
    HelpName = "FOLDER",
    DefaultValueFactory = _ => "/var/lib/kubelet/plugins_registry",
};
var state = new Option<string>("--state") { Description = "Folder of the volumes' records.", HelpName = "FOLDER", DefaultValueFactory = _ => "/var/lib/overlay/csi" };
var pools = new Option<string[]>("--pool") { Description = "Folder that holds volumes; the first is the default.", HelpName = "NAME=FOLDER" };
var root = new RootCommand("Volumes for pods: a CSI driver.") { endpoint, nodeId, name, registration, state, pools };
root.SetAction(async (parsed, _) =>
{
    var problems = new List<string>();
    CsiOptions? options = CsiOptions.Parse(
        parsed.GetValue(name)!,
        parsed.GetValue(nodeId)!,
        parsed.GetValue(endpoint) ?? Environment.GetEnvironmentVariable("CSI_ENDPOINT"),
        parsed.GetValue(registration)!,
        parsed.GetValue(state)!,
        parsed.GetValue(pools) ?? [],
        problems);
    foreach (string problem in problems) await Console.Error.WriteLineAsync(problem).ConfigureAwait(false);
    if (options is null) return 2;
    using ILoggerFactory logs = Logs.Create();
    return await new Driver(options, logs).RunAsync().ConfigureAwait(false) ? 0 : 1;
});
ParseResult commandLine = root.Parse(args);
int code = await commandLine.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null })
    .ConfigureAwait(false);
return commandLine.Errors.Count > 0 ? 2 : code;
