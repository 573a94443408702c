using System.CommandLine;
using Overlay.Cli;

var root = new RootCommand("Shows what overlayd on this node does.") { StatusCommand.Create(Console.Out, Console.Error) };
return await root.Parse(args).InvokeAsync().ConfigureAwait(false);
