using System.CommandLine;
using System.CommandLine.Invocation;
using Overlay.Cli;
using Overlay.Cli.Shell;

RootCommand root = Root.Create(Console.Out, Console.Error);
ParseResult parsed = root.Parse(args);
if (parsed.Action is not ParseErrorAction refusal) return await parsed.InvokeAsync().ConfigureAwait(false);
// Standard output is for what was asked: a script that reads it must not find help there, nor what else is said of a mistake.
refusal.ShowHelp = false;
int code = await parsed.InvokeAsync(new InvocationConfiguration { Output = Console.Error }).ConfigureAwait(false);
Refusal.WriteRemedy(parsed, Console.Error);
return code;
