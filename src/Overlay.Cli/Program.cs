using System.CommandLine;
using System.CommandLine.Invocation;
using Overlay.Cli;
using Overlay.Cli.Control;
using Overlay.Cli.Pki;

var root = new RootCommand("Shows what overlayd on this node does, and administers the network with overlay-controller.")
{
    StatusCommand.Create(Console.Out, Console.Error),
    FdbCommand.Create(Console.Out, Console.Error),
    StatusCommand.CreatePeers(Console.Out, Console.Error),
    StatusCommand.CreateRoutes(Console.Out, Console.Error),
    HealthCommand.Create(Console.Out, Console.Error),
    RouteCommand.Create(Console.Out, Console.Error),
    NetworkCommand.Create(Console.Out, Console.Error),
    NodeCommand.Create(Console.Out, Console.Error),
    IpamCommand.Create(Console.Out, Console.Error),
    PkiCommand.Create(Console.Out, Console.Error),
    PodsCommand.Create(Console.Out, Console.Error),
    PodsCommand.CreateOne(Console.Out, Console.Error),
    VolumesCommand.Create(Console.Out, Console.Error),
    CaptureCommand.Create(CaptureCommand.OpenOutput, Console.Error),
    DecodeCommand.Create(Console.OpenStandardOutput, Console.Error),
};
ParseResult parsed = root.Parse(args);
// Standard output is for what was asked: a script that reads it must not find help there.
if (parsed.Action is ParseErrorAction refusal) refusal.ShowHelp = false;
return await parsed.InvokeAsync().ConfigureAwait(false);
