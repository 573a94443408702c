using System.CommandLine;
using System.CommandLine.Invocation;
using Overlay.Cli;
using Overlay.Cli.Shell;

// So that whoever watches through a pipe, and ends, is noticed.
if (Console.IsOutputRedirected) Console.SetOut(new StreamWriter(CaptureCommand.OpenOutput()) { AutoFlush = true });
RootCommand root = Root.Create(Console.Out, Console.Error);
ParseResult parsed = root.Parse(args);
if (parsed.Action is not ParseErrorAction refusal)
{
    try
    {
        return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false }).ConfigureAwait(false);
    }
    catch (IOException exception) when (exception.HResult == CaptureCommand.BrokenPipe)
    {
        return 0;
    }
    catch (IOException exception)
    {
        // Commands tell what is wrong with files and sockets; this is of what they print.
        Console.Error.WriteLine($"overlay: standard output cannot be written to: {Refusal.Cause(exception)}; send it elsewhere, or make room");
        return 1;
    }
}
// Standard output is for what was asked: a script that reads it must not find help there, nor what else is said of a mistake.
refusal.ShowHelp = false;
int code = await parsed.InvokeAsync(new InvocationConfiguration { Output = Console.Error }).ConfigureAwait(false);
Refusal.WriteRemedy(parsed, Console.Error);
return code;
