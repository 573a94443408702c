using System.CommandLine;
using Overlay.Cli.Conformance;
using Overlay.Cli.Control;
using Overlay.Cli.Explaining;
using Overlay.Cli.Pki;
using Overlay.Cli.Shell;
using Overlay.Cli.Top;

namespace Overlay.Cli;

/// <summary><c>overlay</c>: all that it is told on the command line.</summary>
internal static class Root
{
    public static RootCommand Create(TextWriter output, TextWriter errors)
    {
        var root = new RootCommand("Shows what overlayd on this node does, explains what becomes of packets, and administers the network with overlay-controller.")
        {
            StatusCommand.Create(output, errors),
            TopCommand.Create(output, errors),
            FdbCommand.Create(output, errors),
            StatusCommand.CreatePeers(output, errors),
            StatusCommand.CreateRoutes(output, errors),
            HealthCommand.Create(output, errors),
            RouteCommand.Create(output, errors),
            ExplainCommand.Create(output, errors),
            NetworkCommand.Create(output, errors),
            NodeCommand.Create(output, errors),
            IpamCommand.Create(output, errors),
            PkiCommand.Create(output, errors),
            PodsCommand.Create(output, errors),
            PodsCommand.CreateOne(output, errors),
            VolumesCommand.Create(output, errors),
            CaptureCommand.Create(CaptureCommand.OpenOutput, errors),
            DecodeCommand.Create(Console.OpenStandardOutput, errors),
            ConformanceCommand.Create(output, errors),
            CompletionCommand.Create(output),
            ManCommand.Create(output),
        };
        Numbers.SetParsers(root);
        return root;
    }
}
