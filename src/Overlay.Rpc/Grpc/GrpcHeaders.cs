using System.Globalization;
using System.Text;

namespace Overlay.Rpc.Grpc;

/// <summary>Names and notations of the headers that gRPC over HTTP/2 defines.</summary>
internal static class GrpcHeaders
{
    public const string ContentType = "application/grpc";
    public const string Status = "grpc-status";
    public const string Message = "grpc-message";
    public const string Timeout = "grpc-timeout";
    public const string Encoding = "grpc-encoding";
    public const string AcceptEncoding = "grpc-accept-encoding";
    public const string Identity = "identity";

    /// <summary>Longest time-out that the notation's eight digits and a timer of .NET both hold.</summary>
    public static readonly TimeSpan LongestTimeout = TimeSpan.FromDays(24);

    /// <summary>Most bytes of an encoded message: both ends limit the size of all headers together, commonly to 8 KiB.</summary>
    private const int MaxMessageBytes = 4096;

    public static bool IsGrpc(string? contentType) =>
        contentType is not null && contentType.StartsWith(ContentType, StringComparison.OrdinalIgnoreCase)
        && contentType.AsSpan(ContentType.Length) is var rest
        && (rest.IsEmpty || rest[0] == ';' || rest.Equals("+proto", StringComparison.OrdinalIgnoreCase)
            || rest.StartsWith("+proto;", StringComparison.OrdinalIgnoreCase));

    /// <summary>Percent-encodes what is not printable ASCII, as UTF-8; a message too long for a header is cut.</summary>
    public static string EncodeMessage(string message)
    {
        var encoded = new StringBuilder(message.Length);
        Span<byte> bytes = stackalloc byte[4];
        foreach (Rune rune in message.EnumerateRunes())
        {
            int before = encoded.Length;
            foreach (byte unit in bytes[..rune.EncodeToUtf8(bytes)])
            {
                if (unit is >= 0x20 and <= 0x7e and not (byte)'%') encoded.Append((char)unit);
                else encoded.Append(CultureInfo.InvariantCulture, $"%{unit:X2}");
            }
            if (encoded.Length <= MaxMessageBytes) continue;
            encoded.Length = before;
            break;
        }
        return encoded.ToString();
    }

    /// <summary>Undoes <see cref="EncodeMessage"/>; a stray % stands for itself.</summary>
    public static string DecodeMessage(string encoded)
    {
        if (!encoded.Contains('%', StringComparison.Ordinal)) return encoded;
        var bytes = new List<byte>(encoded.Length);
        for (int index = 0; index < encoded.Length; index++)
        {
            if (encoded[index] == '%' && index + 2 < encoded.Length
                && byte.TryParse(encoded.AsSpan(index + 1, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value))
            {
                bytes.Add(value);
                index += 2;
            }
            else
            {
                bytes.AddRange(System.Text.Encoding.UTF8.GetBytes(encoded, index, 1));
            }
        }
        return System.Text.Encoding.UTF8.GetString([.. bytes]);
    }

    /// <summary>At most eight digits and a unit; in the finest unit that holds it, rounded up so that no deadline comes early.</summary>
    public static string FormatTimeout(TimeSpan timeout)
    {
        const long most = 99_999_999;
        double milliseconds = Math.Max(1, Math.Ceiling(timeout.TotalMilliseconds));
        return milliseconds <= most
            ? string.Create(CultureInfo.InvariantCulture, $"{(long)milliseconds}m")
            : string.Create(CultureInfo.InvariantCulture, $"{(long)Math.Min(most, Math.Ceiling(timeout.TotalSeconds))}S");
    }

    /// <summary>False for what the notation does not allow. A time-out longer than <see cref="LongestTimeout"/> is read as that.</summary>
    public static bool TryParseTimeout(string text, out TimeSpan timeout)
    {
        timeout = default;
        if (text.Length is < 2 or > 9 || !text.AsSpan(0, text.Length - 1).ContainsOnlyDigits()) return false;
        long number = long.Parse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture);
        double? ticks = text[^1] switch
        {
            'H' => number * (double)TimeSpan.TicksPerHour,
            'M' => number * (double)TimeSpan.TicksPerMinute,
            'S' => number * (double)TimeSpan.TicksPerSecond,
            'm' => number * (double)TimeSpan.TicksPerMillisecond,
            'u' => number * (double)TimeSpan.TicksPerMicrosecond,
            'n' => number / (double)TimeSpan.NanosecondsPerTick,
            _ => null,
        };
        if (ticks is not { } value) return false;
        timeout = value < LongestTimeout.Ticks ? TimeSpan.FromTicks((long)value) : LongestTimeout;
        return true;
    }

    private static bool ContainsOnlyDigits(this ReadOnlySpan<char> text) => !text.ContainsAnyExceptInRange('0', '9');
}
