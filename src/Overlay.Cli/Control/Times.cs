using System.Globalization;

namespace Overlay.Cli.Control;

/// <summary>Points in time as the controller sends them, for people.</summary>
internal static class Times
{
    /// <param name="milliseconds">Since 1970.</param>
    public static string Of(long milliseconds) =>
        DateTimeOffset.FromUnixTimeMilliseconds(milliseconds).ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
