using System.Net;
using Overlay.Rpc.Grpc;

namespace Overlay.Controller;

/// <summary>Checks values of requests as those of configuration files are checked.</summary>
internal static class Requests
{
    public static T Parse<T>(string field, string text, ValueParser<T> parse) =>
        parse(text, out T value) is { } refusal ? throw Invalid($"{field}: {refusal.Wrong}; {refusal.Remedy}") : value;

    public static string Name(string field, string text) => Parse<string>(field, text, ConfigurationValues.Name);

    /// <summary>Text that is kept and shown: printable, and no longer than it has to be.</summary>
    public static string Text(string field, string text, int most = 128) => text.Length is > 0 && text.Length <= most && !text.Any(char.IsControl)
        ? text
        : throw Invalid($"{field}: '{text}' is no text of 1 to {most} printable characters");

    public static IPNetwork Prefix(string field, string text) => Parse<IPNetwork>(field, text, ConfigurationValues.Prefix);

    public static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);
}
