using System.Buffers.Binary;
using System.Text;

namespace Overlay.Agent.Pods.Cni;

/// <summary>
/// What the plugin hands over: its <c>CNI_</c> variables and standard input, verbatim. Two big-endian 32-bit lengths, then as many bytes of
/// each; variables end with a zero. The same bytes lie in the files of deletions left for later.
/// </summary>
internal sealed record CniMessage(IReadOnlyDictionary<string, string> Environment, byte[] Input)
{
    public const int HeaderLength = 8;

    /// <summary>Most that either part may have.</summary>
    public const int MostBytes = 1 << 20;

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Lengths of the two parts that follow; null where one is beyond <see cref="MostBytes"/>.</summary>
    /// <param name="header"><see cref="HeaderLength"/> bytes.</param>
    public static (int Environment, int Input)? ReadHeader(ReadOnlySpan<byte> header)
    {
        uint environment = BinaryPrimitives.ReadUInt32BigEndian(header);
        uint input = BinaryPrimitives.ReadUInt32BigEndian(header[4..]);
        return environment > MostBytes || input > MostBytes ? null : ((int)environment, (int)input);
    }

    /// <summary>A whole message; null where it is cut off, or too long.</summary>
    public static CniMessage? Read(ReadOnlySpan<byte> message)
    {
        if (message.Length < HeaderLength || ReadHeader(message) is not var (environment, input)) return null;
        ReadOnlySpan<byte> parts = message[HeaderLength..];
        return parts.Length == environment + input ? Read(parts[..environment], parts[environment..]) : null;
    }

    /// <summary>Of two variables of one name the first counts, as getenv(3) has it. One that is not UTF-8 is left out.</summary>
    public static CniMessage Read(ReadOnlySpan<byte> environment, ReadOnlySpan<byte> input)
    {
        var variables = new Dictionary<string, string>();
        foreach (Range range in environment.Split((byte)0))
        {
            ReadOnlySpan<byte> variable = environment[range];
            int equals = variable.IndexOf((byte)'=');
            if (equals <= 0 || !System.Text.Unicode.Utf8.IsValid(variable)) continue;
            variables.TryAdd(Strict.GetString(variable[..equals]), Strict.GetString(variable[(equals + 1)..]));
        }
        return new CniMessage(variables, input.ToArray());
    }
}

/// <summary>What the plugin prints, and its exit status.</summary>
internal sealed record CniAnswer(int Status, byte[] Output)
{
    /// <summary>Done where the caller was gone before it was told.</summary>
    public Action? Undelivered { get; init; }

    /// <summary>Big-endian 32-bit status and length, then the output.</summary>
    public byte[] Encode()
    {
        byte[] whole = new byte[8 + Output.Length];
        BinaryPrimitives.WriteInt32BigEndian(whole, Status);
        BinaryPrimitives.WriteInt32BigEndian(whole.AsSpan(4), Output.Length);
        Output.CopyTo(whole, 8);
        return whole;
    }
}
