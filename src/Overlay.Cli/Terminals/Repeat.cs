using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Overlay.Cli.Terminals;

/// <summary>Prints something again and again: in place on a terminal, one below the other where output is piped.</summary>
internal static class Repeat
{
    private const double DefaultSeconds = 2;
    private const string HomeAndClear = "\e[H\e[J";

    /// <summary><c>--watch [SECONDS]</c>; its value is null where it is not given.</summary>
    public static Option<double?> Option() => new("--watch")
    {
        Description = "Print again every so many seconds (2), until interrupted.",
        HelpName = "SECONDS",
        Arity = ArgumentArity.ZeroOrOne,
        CustomParser = argument => argument.Tokens.Count == 0 ? DefaultSeconds : ParseSeconds(argument),
    };

    /// <summary>A period of at least a tenth of a second, and at most a day.</summary>
    public static double ParseSeconds(ArgumentResult argument)
    {
        string text = argument.Tokens[0].Value;
        if (double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds) && seconds is >= 0.1 and <= 86_400) return seconds;
        argument.AddError($"'{text}' is no period; give seconds from 0.1 to 86400");
        return 0;
    }

    /// <param name="every">Seconds; null: only once.</param>
    /// <param name="output">Gets it.</param>
    /// <param name="print">Prints to the writer that it is given; its result other than 0 ends the whole.</param>
    /// <param name="cancellation">An interrupt, which is the usual end.</param>
    /// <returns>What <paramref name="print"/> returned last; 0 after an interrupt.</returns>
    public static async Task<int> RunAsync(double? every, TextWriter output, Func<TextWriter, CancellationToken, Task<int>> print, CancellationToken cancellation)
    {
        if (every is not { } seconds) return await print(output, cancellation).ConfigureAwait(false);
        bool isScreen = Terminal.WidthOf(output) is not null;
        try
        {
            using var clock = new PeriodicTimer(TimeSpan.FromSeconds(seconds));
            do
            {
                using var text = new ScreenText(Terminal.WidthOf(output));
                int code = await print(text, cancellation).ConfigureAwait(false);
                if (code != 0) return code;
                string shown = isScreen ? HomeAndClear + Fit(text.ToString(), Terminal.Height, Terminal.Width) : text.ToString();
                await output.WriteAsync(shown.AsMemory(), cancellation).ConfigureAwait(false);
                await output.FlushAsync(cancellation).ConfigureAwait(false);
            }
            while (await clock.WaitForNextTickAsync(cancellation).ConfigureAwait(false));
            return 0;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return 0;
        }
    }

    /// <summary>What a screen shows without scrolling or going on in the next line.</summary>
    public static string Fit(string text, int height, int width)
    {
        string[] lines = [.. text.TrimEnd('\n').Split('\n').Select(line => line.Length <= width ? line : line[..(width - 1)] + "\u2026")];
        if (lines.Length < height) return string.Join('\n', lines) + "\n";
        return string.Join('\n', lines.Take(height - 2)) + $"\n  ... {lines.Length - height + 2} more lines";
    }
}
