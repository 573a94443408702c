using System.CommandLine;
using Microsoft.Extensions.Logging;
using Overlay.Controller;
using Overlay.Rpc.Hosting;

var file = new Option<string>("--config") { Description = "Configuration file (YAML).", HelpName = "FILE", Required = true, Recursive = true };
var check = new Command("check", "Check the configuration, without starting.");
check.SetAction(parsed =>
{
    if (Read(parsed.GetValue(file)!) is not { } options) return 2;
    Console.WriteLine($"{parsed.GetValue(file)}: good: {options.Store}, {options.Listen?.ToString() ?? "no TCP"}, {options.Socket}");
    return 0;
});
var root = new RootCommand("Keeps the state of an overlay network, hands out its address blocks and tells every node who its peers are.") { file, check };
root.SetAction(async (parsed, _) =>
{
    if (Read(parsed.GetValue(file)!) is not { } options) return 2;
    using ILoggerFactory logs = Logs.Create();
    return await new ControllerProcess(options, logs).RunAsync().ConfigureAwait(false) ? 0 : 1;
});
ParseResult commandLine = root.Parse(args);
int code = await commandLine.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null })
    .ConfigureAwait(false);
return commandLine.Errors.Count > 0 ? 2 : code;

static ControllerOptions? Read(string file)
{
    var problems = new ConfigurationProblems(file);
    ControllerOptions? options = ControllerOptionsReader.Load(file, problems);
    foreach (string problem in problems.Lines) Console.Error.WriteLine(problem);
    return options;
}
