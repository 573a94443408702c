using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Overlay.Wire;

/// <summary>
/// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
/// </summary>
/// <remarks>
/// Everything here is in <b>native byte order</b>: 16-bit words are read, and checksums stored, exactly as they lie in memory, because a
/// one's-complement sum does not care which octet of the word comes first (RFC 1071, 2 B). Read and store checksum fields with
/// <see cref="Read"/> and <see cref="Store"/>; never with a big-endian accessor.
/// </remarks>
public static class InternetChecksum
{
    /// <summary>Adds word by word, without vector instructions: for processors on which those are found to add wrongly.</summary>
    public static bool IsPlain { get; set; }

    /// <summary>
    /// Adds <paramref name="data"/> to a partial sum. Parts of one message may be added one after the other, and in any order, as long as
    /// every part begins at an even offset of the message; so only the last one may have an odd length.
    /// </summary>
    public static ulong Add(ReadOnlySpan<byte> data, ulong sum = 0)
    {
        ref byte start = ref MemoryMarshal.GetReference(data);
        nuint length = (nuint)data.Length;
        nuint offset = 0;
        ulong part = 0;
        if (Vector512.IsHardwareAccelerated && length >= 64 && !IsPlain)
        {
            offset = length & ~(nuint)63;
            part = AddBlocks512(ref start, offset);
        }
        else if (Vector256.IsHardwareAccelerated && length >= 64 && !IsPlain)
        {
            offset = length & ~(nuint)31;
            part = AddBlocks256(ref start, offset);
        }
        for (; length - offset >= 8; offset += 8)
        {
            ulong word = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, offset));
            part += (uint)word + (word >> 32);
        }
        if ((length & 4) != 0)
        {
            part += Unsafe.ReadUnaligned<uint>(ref Unsafe.Add(ref start, offset));
            offset += 4;
        }
        if ((length & 2) != 0)
        {
            part += Unsafe.ReadUnaligned<ushort>(ref Unsafe.Add(ref start, offset));
            offset += 2;
        }
        if ((length & 1) != 0)
        {
            byte last = Unsafe.Add(ref start, offset);
            part += BitConverter.IsLittleEndian ? last : (uint)last << 8;
        }
        return Combine(sum, part);
    }

    /// <summary>The sum of two partial sums.</summary>
    public static ulong Combine(ulong left, ulong right)
    {
        ulong sum = left + right;
        return sum < left ? sum + 1 : sum;
    }

    /// <summary>A partial sum as a 16-bit word, not inverted: what the checksum field of an unfinished packet holds.</summary>
    public static ushort Fold(ulong sum)
    {
        sum = (uint)sum + (sum >> 32);
        sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        return (ushort)(sum + (sum >> 16));
    }

    /// <summary>The checksum: the inverted <see cref="Fold"/>.</summary>
    public static ushort Finish(ulong sum) => (ushort)~Fold(sum);

    /// <summary><see cref="Finish"/> for UDP, where zero means "no checksum" and is sent as 0xffff (RFC 768, RFC 8200 8.1).</summary>
    public static ushort FinishUdp(ulong sum)
    {
        ushort checksum = Finish(sum);
        return checksum == 0 ? ushort.MaxValue : checksum;
    }

    /// <summary>True if a sum over a message that includes its checksum field proves the message intact.</summary>
    public static bool IsValid(ulong sum) => Fold(sum) == ushort.MaxValue;

    /// <summary>
    /// The checksum after one 16-bit word of the message has changed (RFC 1624, equation 3: HC' = ~(~HC + ~m + m')). All three in native
    /// order. A UDP checksum that becomes zero has to be stored as 0xffff.
    /// </summary>
    public static ushort Update(ushort checksum, ushort oldWord, ushort newWord)
    {
        uint sum = (uint)(ushort)~checksum + (ushort)~oldWord + newWord;
        sum = (sum & 0xffff) + (sum >> 16);
        return (ushort)~(sum + (sum >> 16));
    }

    /// <summary>Partial sum of the IPv4 pseudo-header (RFC 768, RFC 9293 3.1). Addresses in host order, length in bytes.</summary>
    public static ulong PseudoHeaderV4(uint source, uint destination, byte protocol, int length) =>
        (ulong)Native(source) + Native(destination) + ProtocolAndLength(protocol, length);

    /// <param name="addresses">Source and destination as they lie in the IPv4 header: its bytes 12 to 19.</param>
    /// <param name="protocol">The transport protocol.</param>
    /// <param name="length">Bytes of transport header and payload.</param>
    public static ulong PseudoHeaderV4(ReadOnlySpan<byte> addresses, byte protocol, int length)
    {
        ulong words = MemoryMarshal.Read<ulong>(addresses);
        return (uint)words + (words >> 32) + ProtocolAndLength(protocol, length);
    }

    /// <summary>Partial sum of the IPv6 pseudo-header (RFC 8200, 8.1). Addresses in host order, length in bytes.</summary>
    public static ulong PseudoHeaderV6(UInt128 source, UInt128 destination, byte protocol, int length) =>
        Words(source) + Words(destination) + ProtocolAndLength(protocol, length);

    /// <param name="addresses">Source and destination as they lie in the IPv6 header: its bytes 8 to 39.</param>
    /// <param name="protocol">The upper-layer protocol, not the next header of the IPv6 header.</param>
    /// <param name="length">Bytes of upper-layer header and payload.</param>
    public static ulong PseudoHeaderV6(ReadOnlySpan<byte> addresses, byte protocol, int length) =>
        Add(addresses[..32], ProtocolAndLength(protocol, length));

    /// <summary>The checksum field at the start of <paramref name="field"/>, in native order.</summary>
    public static ushort Read(ReadOnlySpan<byte> field) => MemoryMarshal.Read<ushort>(field);

    /// <summary>Stores a native-order checksum at the start of <paramref name="field"/>.</summary>
    public static void Store(Span<byte> field, ushort checksum) => MemoryMarshal.Write(field, checksum);

    private static ulong ProtocolAndLength(byte protocol, int length) =>
        (BitConverter.IsLittleEndian ? (uint)protocol << 8 : protocol) + (ulong)Native((uint)length);

    private static ulong Words(UInt128 address)
    {
        ulong high = (ulong)Native((uint)(address >> 96)) + Native((uint)(address >> 64));
        return high + Native((uint)(address >> 32)) + Native((uint)address);
    }

    private static uint Native(uint hostOrder) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(hostOrder) : hostOrder;

    // Each 64-bit lane keeps two sums: `all`, modulo 2^64, of the whole words, and `high`, exact, of their upper halves. What the lower
    // halves add up to is then all - (high << 32), again exact, since no span is long enough to overflow it. Three operations a vector,
    // against four when both halves are added on their own.
    internal static ulong AddBlocks512(ref byte start, nuint length)
    {
        Vector512<ulong> all = Vector512<ulong>.Zero, high = all, all2 = all, high2 = all;
        nuint offset = 0;
        for (; length - offset >= 128; offset += 128)
        {
            Vector512<ulong> word = Vector512.LoadUnsafe(ref start, offset).AsUInt64();
            Vector512<ulong> word2 = Vector512.LoadUnsafe(ref start, offset + 64).AsUInt64();
            all += word;
            high += word >>> 32;
            all2 += word2;
            high2 += word2 >>> 32;
        }
        if (offset < length)
        {
            Vector512<ulong> word = Vector512.LoadUnsafe(ref start, offset).AsUInt64();
            all += word;
            high += word >>> 32;
        }
        high += high2;
        Vector512<ulong> low = all + all2 - (high << 32);
        return Vector512.Sum(low) + Vector512.Sum(high);
    }

    internal static ulong AddBlocks256(ref byte start, nuint length)
    {
        Vector256<ulong> all = Vector256<ulong>.Zero, high = all, all2 = all, high2 = all;
        nuint offset = 0;
        for (; length - offset >= 64; offset += 64)
        {
            Vector256<ulong> word = Vector256.LoadUnsafe(ref start, offset).AsUInt64();
            Vector256<ulong> word2 = Vector256.LoadUnsafe(ref start, offset + 32).AsUInt64();
            all += word;
            high += word >>> 32;
            all2 += word2;
            high2 += word2 >>> 32;
        }
        if (offset < length)
        {
            Vector256<ulong> word = Vector256.LoadUnsafe(ref start, offset).AsUInt64();
            all += word;
            high += word >>> 32;
        }
        high += high2;
        Vector256<ulong> low = all + all2 - (high << 32);
        return Vector256.Sum(low) + Vector256.Sum(high);
    }
}
