using System.Buffers.Binary;

namespace Overlay.Wire;

/// <summary>One option of a Geneve header (RFC 8926, 3.5). Views the caller's bytes and is valid as long as they are.</summary>
public readonly ref struct GeneveOption
{
    /// <summary>Bytes before the data.</summary>
    public const int HeaderLength = 4;

    /// <summary>Most bytes of data: the length field counts up to 31 units of four.</summary>
    public const int MaxDataLength = 31 * 4;

    /// <summary>High bit of the type: an endpoint that does not know the option must drop the datagram.</summary>
    public const byte CriticalBit = 0x80;

    private const int LengthMask = 0x1f;

    private readonly ReadOnlySpan<byte> _option;

    private GeneveOption(ReadOnlySpan<byte> option) => _option = option;

    /// <summary>Namespace of the type (IANA, Geneve Option Class).</summary>
    public ushort Class => BinaryPrimitives.ReadUInt16BigEndian(_option);

    /// <summary>All eight bits, <see cref="CriticalBit"/> included.</summary>
    public byte Type => _option[2];

    public bool IsCritical => (Type & CriticalBit) != 0;

    /// <summary>Bytes of header and data.</summary>
    public int Length => _option.Length;

    /// <summary>A multiple of four bytes, possibly none.</summary>
    public ReadOnlySpan<byte> Data => _option[HeaderLength..];

    /// <param name="options">Begins with the option; others may follow.</param>
    /// <param name="view">Bounded by the option's length.</param>
    /// <returns><see cref="WireStatus.Truncated"/> if header or data are incomplete.</returns>
    public static WireStatus TryParse(ReadOnlySpan<byte> options, out GeneveOption view)
    {
        view = default;
        if (options.Length < HeaderLength) return WireStatus.Truncated;
        int length = HeaderLength + ((options[3] & LengthMask) * 4);
        if (length > options.Length) return WireStatus.Truncated;
        view = new GeneveOption(options[..length]);
        return WireStatus.Ok;
    }

    /// <summary>Writes one option.</summary>
    /// <param name="options">At least 4 bytes and the data.</param>
    /// <param name="optionClass">Host order.</param>
    /// <param name="type">All eight bits, <see cref="CriticalBit"/> included.</param>
    /// <param name="data">A multiple of 4 bytes, at most <see cref="MaxDataLength"/>.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="ArgumentException">The data's length cannot be written: a bug of the caller.</exception>
    public static int Write(Span<byte> options, ushort optionClass, byte type, ReadOnlySpan<byte> data)
    {
        if (data.Length % 4 != 0 || data.Length > MaxDataLength)
            throw new ArgumentException($"{data.Length} bytes of data are not a multiple of 4 up to {MaxDataLength}", nameof(data));
        BinaryPrimitives.WriteUInt16BigEndian(options, optionClass);
        options[2] = type;
        options[3] = (byte)(data.Length / 4);
        data.CopyTo(options[HeaderLength..]);
        return HeaderLength + data.Length;
    }
}
