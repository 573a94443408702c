using System.CommandLine;
using System.CommandLine.Invocation;
using Overlay.Cli;
using Overlay.Cli.Conformance;
using Overlay.Cli.Control;
using Overlay.Cli.Explaining;
using Overlay.Cli.Pki;
using Overlay.Cli.Shell;
using Overlay.Cli.Top;

var root = new RootCommand("Shows what overlayd on this node does, explains what becomes of packets, and administers the network with overlay-controller.")
{
    StatusCommand.Create(Console.Out, Console.Error),
    TopCommand.Create(Console.Out, Console.Error),
    FdbCommand.Create(Console.Out, Console.Error),
    StatusCommand.CreatePeers(Console.Out, Console.Error),
    StatusCommand.CreateRoutes(Console.Out, Console.Error),
    HealthCommand.Create(Console.Out, Console.Error),
    RouteCommand.Create(Console.Out, Console.Error),
    ExplainCommand.Create(Console.Out, Console.Error),
    NetworkCommand.Create(Console.Out, Console.Error),
    NodeCommand.Create(Console.Out, Console.Error),
    IpamCommand.Create(Console.Out, Console.Error),
    PkiCommand.Create(Console.Out, Console.Error),
    PodsCommand.Create(Console.Out, Console.Error),
    PodsCommand.CreateOne(Console.Out, Console.Error),
    VolumesCommand.Create(Console.Out, Console.Error),
    CaptureCommand.Create(CaptureCommand.OpenOutput, Console.Error),
    DecodeCommand.Create(Console.OpenStandardOutput, Console.Error),
    ConformanceCommand.Create(Console.Out, Console.Error),
    CompletionCommand.Create(Console.Out),
    ManCommand.Create(Console.Out),
};
ParseResult parsed = root.Parse(args);
if (parsed.Action is not ParseErrorAction refusal) return await parsed.InvokeAsync().ConfigureAwait(false);
// Standard output is for what was asked: a script that reads it must not find help there, nor what else is said of a mistake.
refusal.ShowHelp = false;
int code = await parsed.InvokeAsync(new InvocationConfiguration { Output = Console.Error }).ConfigureAwait(false);
Refusal.WriteRemedy(parsed, Console.Error);
return code;
