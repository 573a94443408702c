using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.Control.Configuration.Yaml;
using Overlay.Control.Model;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Control.Configuration;

/// <summary>How each kind of value is written. Strict: what a reader could take for something else is refused, never guessed at.</summary>
public static class ConfigurationValues
{
    private const int MaxDeviceNameBytes = 15;

    /// <summary>What is left of the least IPv4 MTU, 68, for a TCP segment; Linux takes no smaller MSS for one.</summary>
    private const int LeastMss = 28;

    public static ValueParser<int> Integer(int least, int most) => (string text, out int value) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value >= least && value <= most && (text[0] != '0' || text == "0")
            ? null
            : new Refusal($"'{text}' is no whole number from {least} to {most}", $"write a decimal number from {least} to {most}");

    /// <summary>A number as protocols' registries write it: decimal, or hexadecimal behind 0x.</summary>
    public static ValueParser<int> Number(int least, int most) => (string text, out int value) =>
    {
        bool isHex = text.StartsWith("0x", StringComparison.Ordinal);
        NumberStyles style = isHex ? NumberStyles.AllowHexSpecifier : NumberStyles.None;
        bool good = int.TryParse(isHex ? text.AsSpan(2) : text, style, CultureInfo.InvariantCulture, out value) && value >= least && value <= most;
        return good ? null : new Refusal($"'{text}' is no number from {least} to {most}", $"write a number from {least} to {most}, or 0x{least:x} to 0x{most:x}");
    };

    /// <summary>Data of a Geneve option in hexadecimal: whole words of four octets, at most 31 (RFC 8926, 3.5).</summary>
    public static Refusal? OptionData(string text, out byte[] value)
    {
        value = [];
        if (text.Length % 2 != 0 || !text.All(char.IsAsciiHexDigit)) return new Refusal($"'{text}' is not hexadecimal", "write two digits an octet, such as 00112233");
        value = Convert.FromHexString(text);
        if (value.Length % 4 != 0) return new Refusal($"'{text}' has {value.Length} octets", "write a multiple of 4: options are whole words");
        return value.Length <= GeneveOption.MaxDataLength
            ? null
            : new Refusal($"'{text}' has {value.Length} octets", $"write at most {GeneveOption.MaxDataLength}");
    }

    /// <summary>A value of its own, or null for <c>copy</c>: that of the inner packet.</summary>
    public static ValueParser<T?> CopyOr<T>(ValueParser<T> parse)
        where T : struct => WordOr("copy", parse);

    /// <summary>A value, or null for <c>none</c>.</summary>
    public static ValueParser<T?> NoneOr<T>(ValueParser<T> parse)
        where T : struct => WordOr("none", parse);

    /// <summary>A group policy ID, or -1 for <c>mark</c>: that of each packet.</summary>
    public static Refusal? GroupPolicy(string text, out int value)
    {
        value = -1;
        if (text == "mark") return null;
        return Integer(0, ushort.MaxValue)(text, out value) is { } refused ? refused with { Remedy = $"{refused.Remedy}, or mark" } : null;
    }

    private static ValueParser<T?> WordOr<T>(string word, ValueParser<T> parse)
        where T : struct => (string text, out T? value) =>
    {
        value = null;
        if (text == word) return null;
        Refusal? refusal = parse(text, out T given);
        value = given;
        return refusal is { } refused ? refused with { Remedy = $"{refused.Remedy}, or {word}" } : null;
    };

    /// <summary>Most that the MSS option of a SYN may say: null for <c>auto</c>, 0 for <c>off</c>.</summary>
    public static Refusal? MssClamp(string text, out int? value)
    {
        value = text == "off" ? 0 : null;
        if (text is "off" or "auto") return null;
        Refusal? refusal = Integer(LeastMss, ushort.MaxValue)(text, out int given);
        value = given;
        return refusal is { } refused ? refused with { Remedy = $"{refused.Remedy}, or auto, or off" } : null;
    }

    public static Refusal? Boolean(string text, out bool value)
    {
        value = text == "true";
        return text is "true" or "false" ? null : new Refusal($"'{text}' is neither true nor false", "write true or false");
    }

    public static ValueParser<T> OneOf<T>(params (string Text, T Value)[] choices) => (string text, out T value) =>
    {
        (string Text, T Value) choice = choices.FirstOrDefault(choice => choice.Text == text);
        value = choice.Value;
        return choice.Text is null
            ? new Refusal($"'{text}' is not known", $"write {string.Join(" or ", choices.Select(candidate => candidate.Text))}")
            : null;
    };

    /// <summary>A name of a node, peer or segment: letters, digits, '.', '-' and '_', starting with a letter or digit.</summary>
    public static Refusal? Name(string text, out string value)
    {
        value = text;
        bool good = text.Length is > 0 and <= 253 && char.IsAsciiLetterOrDigit(text[0])
            && text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '-' or '_');
        return good ? null : new Refusal($"'{text}' is no name", "use 1 to 253 letters, digits, '.', '-' and '_', a letter or digit first");
    }

    /// <summary>A name the kernel accepts for a network interface.</summary>
    public static Refusal? DeviceName(string text, out string value)
    {
        value = text;
        int bytes = Encoding.UTF8.GetByteCount(text);
        if (bytes > MaxDeviceNameBytes)
            return new Refusal($"the device name '{text}' has {bytes} bytes", $"use at most {MaxDeviceNameBytes}");
        // The kernel keeps settings of all devices, and of new ones, under "all" and "default".
        bool good = bytes > 0 && text is not ("." or ".." or "all" or "default") && text.All(letter => letter is > ' ' and <= '~' and not ('/' or ':' or '%'));
        return good ? null : new Refusal($"'{text}' is no device name", "use letters, digits, '.', '-' and '_'");
    }

    /// <summary>A path of a file that does not depend on where the daemon was started.</summary>
    public static Refusal? AbsolutePath(string text, out string value)
    {
        value = text;
        return text.StartsWith('/') && !text.EndsWith('/') && !text.Contains('\0')
            ? null
            : new Refusal($"'{text}' is no absolute path of a file", "write a path such as /etc/overlay/routes");
    }

    /// <summary>A path for a Unix socket: absolute, and no longer than the kernel's address holds.</summary>
    public static Refusal? SocketPath(string text, out string value)
    {
        value = text;
        if (!text.StartsWith('/') || text.EndsWith('/') || text.Contains('\0'))
            return new Refusal($"'{text}' is no absolute path of a file", "write a path such as /run/overlay/overlayd.sock");
        int bytes = Encoding.UTF8.GetByteCount(text);
        return bytes <= LocalApi.MaxSocketPathBytes
            ? null
            : new Refusal($"the socket path '{text}' has {bytes} bytes", $"use at most {LocalApi.MaxSocketPathBytes}, all that a Unix socket address holds");
    }

    /// <summary>An absolute path of a file.</summary>
    public static Refusal? FilePath(string text, out string value)
    {
        value = text;
        return text.StartsWith('/') && !text.EndsWith('/') && !text.Contains('\0')
            ? null
            : new Refusal($"'{text}' is no absolute path of a file", "write a path such as /etc/overlay/ca.pem");
    }

    public static Refusal? Mac(string text, out MacAddress value)
    {
        const string remedy = "write six hexadecimal octets such as 02:00:00:00:00:01";
        if (!MacAddress.TryParse(text, out value)) return new Refusal($"'{text}' is no MAC address", remedy);
        if (value.IsGroup) return new Refusal($"'{text}' is a group address", "use a unicast address: the first octet even");
        return value == default ? new Refusal($"'{text}' is the zero address", remedy) : null;
    }

    /// <summary>A unicast address of a host, of either family.</summary>
    public static Refusal? UnicastAddress(string text, out IPAddress value)
    {
        if (!TryParseAddress(text, out value)) return new Refusal($"'{text}' is no IP address", "write it as 192.0.2.1 or 2001:db8::1");
        return RefuseUnlessUnicast(text, value);
    }

    /// <summary>An address of this host with a port.</summary>
    /// <param name="example">How it is written, of IPv4.</param>
    /// <param name="exampleIPv6">And of IPv6.</param>
    public static ValueParser<IPEndPoint> EndPoint(string example, string exampleIPv6) => (string text, out IPEndPoint value) =>
    {
        // A bare address is parsed with port 0, and 10.1 as an IPv4 address.
        if (IPEndPoint.TryParse(text, out IPEndPoint? parsed) && parsed.Port != 0 && (text[0] == '[' || parsed.ToString() == text))
        {
            value = parsed;
            return null;
        }
        value = new IPEndPoint(IPAddress.Loopback, 0);
        return new Refusal($"'{text}' is no address with a port", $"write it as {example} or {exampleIPv6}");
    };

    /// <summary>An address of a device with the length of its prefix; the host bits are the address.</summary>
    public static Refusal? InterfaceAddress(string text, out InterfaceAddress value)
    {
        value = default;
        if (SplitPrefix(text, out IPAddress address, out int length) is { } refusal) return refusal;
        value = new InterfaceAddress(address, length);
        return RefuseUnlessUnicast(text, address);
    }

    /// <summary>A prefix of destinations; its host bits are zero.</summary>
    public static Refusal? Prefix(string text, out IPNetwork value)
    {
        value = default;
        if (SplitPrefix(text, out IPAddress address, out int length) is { } refusal) return refusal;
        value = new InterfaceAddress(address, length).Network;
        if (!value.BaseAddress.Equals(address)) return new Refusal($"the prefix '{text}' has host bits set", $"write {value}");
        return IsMulticast(address) ? new Refusal($"the prefix '{text}' is multicast", "only unicast destinations have a peer") : null;
    }

    private static Refusal? SplitPrefix(string text, out IPAddress address, out int length)
    {
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        length = 0;
        if (!TryParseAddress(slash < 0 ? text : text[..slash], out address))
            return new Refusal($"'{text}' is no prefix", "write it as 10.244.1.0/24 or fd00:244:1::/64");
        int most = address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128;
        if (slash < 0) return new Refusal($"'{text}' has no prefix length", $"write {text}/{most} for the single address");
        bool good = int.TryParse(text.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out length) && length <= most;
        return good ? null : new Refusal($"'{text}' has no prefix length from 0 to {most} behind the slash", $"write it as {address}/{most}");
    }

    /// <summary>Accepts the usual spellings only: the platform's parser also takes 10.1, 0x7f.0.0.1, scopes, brackets and ports.</summary>
    private static bool TryParseAddress(string text, out IPAddress address)
    {
        address = IPAddress.None;
        if (!text.All(letter => char.IsAsciiHexDigit(letter) || letter is '.' or ':')) return false;
        if (!IPAddress.TryParse(text, out IPAddress? parsed)) return false;
        address = parsed;
        if (parsed.AddressFamily == AddressFamily.InterNetwork) return parsed.ToString() == text;
        return !parsed.IsIPv4MappedToIPv6;
    }

    private static Refusal? RefuseUnlessUnicast(string text, IPAddress address)
    {
        if (address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any))
            return new Refusal($"'{text}' is the unspecified address", "write the address of one host");
        if (address.Equals(IPAddress.Broadcast) || IsMulticast(address))
            return new Refusal($"'{text}' is no unicast address", "write the address of one host");
        return null;
    }

    private static bool IsMulticast(IPAddress address) =>
        address.AddressFamily == AddressFamily.InterNetwork ? IpBits.V4(address) >> 28 == 0xe : address.IsIPv6Multicast;
}
