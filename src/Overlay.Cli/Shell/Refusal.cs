using System.CommandLine;
using System.CommandLine.Parsing;

namespace Overlay.Cli.Shell;

/// <summary>What is said of a command line that cannot be understood.</summary>
internal static class Refusal
{
    /// <summary>Why something could not be done, to be followed by what to do.</summary>
    public static string Cause(Exception exception) => exception.Message.TrimEnd('.');

    /// <summary>Where to read how the command is used: behind what is wrong with it.</summary>
    public static void WriteRemedy(ParseResult parsed, TextWriter errors)
    {
        var words = new List<string>();
        for (SymbolResult? at = parsed.CommandResult; at is CommandResult command; at = at.Parent) words.Insert(0, command.Command.Name);
        words[0] = "overlay";
        errors.WriteLine($"overlay: '{string.Join(' ', words)} --help' tells how it is used");
    }
}
