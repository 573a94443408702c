namespace Overlay.Cli.Terminals;

/// <summary>What is known of the terminal that standard output is, if it is one.</summary>
internal static class Terminal
{
    private const int DefaultWidth = 80;
    private const int DefaultHeight = 24;

    /// <summary>False where output is piped or redirected: it is plain then, for programs.</summary>
    public static bool IsOutput => !Console.IsOutputRedirected;

    /// <summary>Columns.</summary>
    public static int Width => Ask(() => Console.WindowWidth, DefaultWidth);

    /// <summary>Lines.</summary>
    public static int Height => Ask(() => Console.WindowHeight, DefaultHeight);

    /// <summary>Columns that lines to a writer should keep within; null: any number.</summary>
    public static int? WidthOf(TextWriter output) => output switch
    {
        ScreenText screen => screen.Width,
        _ when ReferenceEquals(output, Console.Out) && IsOutput => Width,
        _ => null,
    };

    private static int Ask(Func<int> ask, int otherwise)
    {
        try
        {
            return ask() is > 0 and var size ? size : otherwise;
        }
        catch (Exception exception) when (exception is IOException or PlatformNotSupportedException)
        {
            return otherwise;
        }
    }
}

/// <summary>Text that will be shown at once.</summary>
/// <param name="width">Columns there are; null: any number, for what is no terminal.</param>
internal sealed class ScreenText(int? width) : StringWriter(System.Globalization.CultureInfo.InvariantCulture)
{
    public int? Width { get; } = width;
}
