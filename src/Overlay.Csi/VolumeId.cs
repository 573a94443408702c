using System.Security.Cryptography;
using System.Text;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi;

/// <summary>Identifiers of volumes and snapshots.</summary>
internal static class VolumeId
{
    private const int MaxBytes = 128;

    /// <summary>The same for the same name, so that a repeated call finds what the first one made.</summary>
    public static string OfVolume(string name) => $"vol-{Digest(name)}";

    public static string OfSnapshot(string name) => $"snap-{Digest(name)}";

    /// <summary>Whether this driver could have given it to a volume.</summary>
    public static bool IsVolume(string text) => IsOf("vol-", text);

    public static bool IsSnapshot(string text) => IsOf("snap-", text);

    /// <summary>Half of a SHA-256, in hexadecimal digits.</summary>
    public static string Digest(string text) => Digest(Encoding.UTF8.GetBytes(text));

    public static string Digest(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes))[..32];

    /// <exception cref="GrpcException">INVALID_ARGUMENT: there is none, or it is too long.</exception>
    public static void Check(string field, string value)
    {
        if (value.Length == 0) throw new GrpcException(GrpcStatusCode.InvalidArgument, $"{field} is missing");
        if (Encoding.UTF8.GetByteCount(value) > MaxBytes) throw new GrpcException(GrpcStatusCode.InvalidArgument, $"{field} has more than {MaxBytes} bytes");
    }

    /// <summary>As <see cref="Check"/>, of what somebody else names: CSI has any Unicode there, but control characters.</summary>
    /// <exception cref="GrpcException">INVALID_ARGUMENT: there is none, it is too long, or has a control character.</exception>
    public static void CheckName(string name)
    {
        Check("name", name);
        if (name.FirstOrDefault(letter => char.IsControl(letter) && letter is not ('\t' or '\n' or '\r'), ' ') is var letter and not ' ')
        {
            throw new GrpcException(GrpcStatusCode.InvalidArgument, $"name has the control character U+{(int)letter:X4}");
        }
    }

    private static bool IsOf(string prefix, string text) =>
        text.Length == prefix.Length + 32 && text.StartsWith(prefix, StringComparison.Ordinal) && text.Skip(prefix.Length).All(char.IsAsciiHexDigitLower);
}
