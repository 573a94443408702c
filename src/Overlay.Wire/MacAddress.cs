using System.Globalization;
using System.Runtime.CompilerServices;

namespace Overlay.Wire;

/// <summary>A 48-bit IEEE 802 MAC address, first octet on the wire first. Six bytes, blittable.</summary>
[InlineArray(Length)]
public struct MacAddress : IEquatable<MacAddress>
{
    /// <summary>Octets in an address.</summary>
    public const int Length = 6;

    private byte _first;

    /// <param name="octets">At least six octets; only the first six are read.</param>
    public MacAddress(ReadOnlySpan<byte> octets) => octets[..Length].CopyTo(this);

    public static MacAddress Broadcast => new([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);

    /// <summary>True for multicast and broadcast: the group bit, least significant of the first octet, is set.</summary>
    public readonly bool IsGroup => (_first & 1) != 0;

    public readonly void CopyTo(Span<byte> destination) => ((ReadOnlySpan<byte>)this).CopyTo(destination);

    /// <summary>Parses six two-digit hexadecimal octets separated by colons.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out MacAddress address)
    {
        address = default;
        if (text.Length != 17) return false;
        for (int i = 0; i < Length; i++)
        {
            if (i > 0 && text[(i * 3) - 1] != ':') return false;
            if (!byte.TryParse(text.Slice(i * 3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out address[i])) return false;
        }
        return true;
    }

    public readonly bool Equals(MacAddress other) => ((ReadOnlySpan<byte>)this).SequenceEqual(other);

    public override readonly bool Equals(object? obj) => obj is MacAddress other && Equals(other);

    public override readonly int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(this);
        return hash.ToHashCode();
    }

    public override readonly string ToString() => string.Join(':', this[..].ToArray().Select(octet => octet.ToString("x2", CultureInfo.InvariantCulture)));

    public static bool operator ==(MacAddress left, MacAddress right) => left.Equals(right);

    public static bool operator !=(MacAddress left, MacAddress right) => !left.Equals(right);
}
