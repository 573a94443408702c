using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace Overlay.Cli.Shell;

/// <summary>Numbers on the command line.</summary>
internal static class Numbers
{
    /// <summary>Reads a number of an option that may be left out.</summary>
    public static Func<ArgumentResult, T?> Between<T>(T least, T most)
        where T : struct, IBinaryInteger<T> => argument => TryRead(argument, least, most, out T value) ? value : null;

    /// <summary>Gives every option for a number that has no parser of its own one that says which numbers there are.</summary>
    public static void SetParsers(Command command)
    {
        foreach (Option option in command.Options)
        {
            _ = SetParser(option, byte.MinValue, byte.MaxValue) || SetParser(option, ushort.MinValue, ushort.MaxValue) || SetParser(option, 0, int.MaxValue)
                || SetParser(option, uint.MinValue, uint.MaxValue) || SetParser(option, 0L, long.MaxValue);
        }
        foreach (Command subcommand in command.Subcommands) SetParsers(subcommand);
    }

    private static bool SetParser<T>(Option option, T least, T most)
        where T : struct, IBinaryInteger<T>
    {
        switch (option)
        {
            case Option<T?> { CustomParser: null } optional:
                optional.CustomParser = Between(least, most);
                return true;
            case Option<T> { CustomParser: null } plain:
                plain.CustomParser = argument => TryRead(argument, least, most, out T value) ? value : default;
                return true;
            default:
                return false;
        }
    }

    private static bool TryRead<T>(ArgumentResult argument, T least, T most, out T value)
        where T : struct, IBinaryInteger<T>
    {
        string text = argument.Tokens[0].Value;
        if (T.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value >= least && value <= most) return true;
        argument.AddError(string.Create(CultureInfo.InvariantCulture, $"'{text}' is no number from {least} to {most}{(argument.Parent is OptionResult option ? $" for {option.Option.Name}" : "")}"));
        return false;
    }
}
