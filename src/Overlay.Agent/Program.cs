using System.CommandLine;
using Microsoft.Extensions.Logging;
using Overlay.Agent;
using Overlay.Rpc.Hosting;
using Overlay.Agent.Planning;
using Overlay.Linux;

var file = new Option<string>("--config") { Description = "Configuration file (YAML).", HelpName = "FILE", Required = true, Recursive = true };
var check = new Command("check", "Check the configuration against this host, without starting.");
check.SetAction(parsed => (int)Check(parsed.GetValue(file)!));
var root = new RootCommand("Carries the packets of pods and nodes between nodes over VXLAN, Geneve or IP-in-IP.") { file, check };
root.SetAction(async (parsed, _) => (int)await RunAsync(parsed.GetValue(file)!).ConfigureAwait(false));

ParseResult commandLine = root.Parse(args);
int code = await commandLine.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null })
    .ConfigureAwait(false);
return commandLine.Errors.Count > 0 ? (int)ExitCode.ConfigurationRefused : code;

static ExitCode Check(string file)
{
    if (ReadPlan(file) is not { } plan) return ExitCode.ConfigurationRefused;
    foreach (string warning in plan.Warnings) Console.Error.WriteLine($"warning: {warning}");
    Console.WriteLine($"{file}: good for node {plan.Options.Node}: {plan.Segments.Count} segments, {plan.State.Peers.Count} peers, {plan.State.Routes.Count} routes");
    return ExitCode.Ok;
}

static async Task<ExitCode> RunAsync(string file)
{
    if (ReadPlan(file) is not { } plan) return ExitCode.ConfigurationRefused;
    using ILoggerFactory logs = Logs.Create();
    if (Capabilities.Missing() is { Count: > 0 } missing)
    {
        logs.CreateLogger("overlayd").LogCritical(
            "cannot run without {Missing}; run as root, or grant it (systemd: AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW)",
            string.Join(' ', missing));
        return ExitCode.Failed;
    }
    using var daemon = new Daemon(file, logs);
    return await daemon.RunAsync(plan).ConfigureAwait(false);
}

static NodePlan? ReadPlan(string file)
{
    var problems = new ConfigurationProblems(file);
    NodePlan? plan = PlanFile.Read(file, 1, before: null, problems);
    foreach (string problem in problems.Lines.Concat(problems.Warnings)) Console.Error.WriteLine(problem);
    return plan;
}
