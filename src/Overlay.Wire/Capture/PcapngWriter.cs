using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Overlay.Wire.Capture;

/// <summary>Which way a captured packet went, seen from this host (pcapng, <c>epb_flags</c>).</summary>
public enum CaptureDirection
{
    Unknown = 0,
    Inbound = 1,
    Outbound = 2,
}

/// <summary>
/// Writes one section of pcapng, version 1 (draft-ietf-opsawg-pcapng), little-endian, with times in nanoseconds. All interfaces have one link
/// type and snap length: libpcap reads nothing else.
/// </summary>
/// <param name="output">Gets whole blocks.</param>
/// <param name="snapLength">Most bytes kept of a packet.</param>
public sealed class PcapngWriter(IBufferWriter<byte> output, int snapLength)
{
    private const int FramingLength = 12;
    private const int OptionHeaderLength = 4;
    private const ushort EndOfOptions = 0;
    private const ushort Comment = 1;
    private const int MostOptionLength = ushort.MaxValue & ~3;

    private int _interfaces;

    /// <summary>Begins the file.</summary>
    /// <param name="hardware">Of the host.</param>
    /// <param name="system">Operating system.</param>
    /// <param name="application">What captures.</param>
    public void WriteSectionHeader(string hardware, string system, string application)
    {
        Options options = new Options().Text(2, hardware).Text(3, system).Text(4, application).End();
        Span<byte> body = Begin(PcapngReader.SectionHeaderBlock, 16 + options.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(body, PcapngReader.ByteOrderMagic);
        BinaryPrimitives.WriteUInt16LittleEndian(body[4..], 1);
        BinaryPrimitives.WriteUInt16LittleEndian(body[6..], 0);
        // The section's length is not known beforehand.
        BinaryPrimitives.WriteInt64LittleEndian(body[8..], -1);
        options.CopyTo(body[16..]);
        End(body.Length);
    }

    /// <summary>Describes an interface, of Ethernet frames.</summary>
    /// <returns>Its number.</returns>
    public int AddInterface(string name, string description)
    {
        const byte nanoseconds = 9;
        Options options = new Options().Text(2, name).Text(3, description).Bytes(9, [nanoseconds]).End();
        Span<byte> body = Begin(PcapngReader.InterfaceDescriptionBlock, 8 + options.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(body, CaptureReader.EthernetLinkType);
        BinaryPrimitives.WriteUInt16LittleEndian(body[2..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(body[4..], (uint)snapLength);
        options.CopyTo(body[8..]);
        End(body.Length);
        return _interfaces++;
    }

    /// <summary>Writes a packet that is given in two parts, either of which may be empty.</summary>
    /// <param name="interfaceNumber">As <see cref="AddInterface"/> gave it.</param>
    /// <param name="time">Since 1970-01-01 UTC.</param>
    /// <param name="start">Its first bytes.</param>
    /// <param name="rest">What was kept of those that follow.</param>
    /// <param name="length">Bytes that it had.</param>
    /// <param name="direction">Which way it went.</param>
    /// <param name="comment">What is known of it; empty: nothing.</param>
    public void WritePacket(
        int interfaceNumber, TimeSpan time, ReadOnlySpan<byte> start, ReadOnlySpan<byte> rest, int length, CaptureDirection direction, string comment)
    {
        int kept = Math.Min(start.Length + rest.Length, snapLength);
        start = start[..Math.Min(start.Length, kept)];
        rest = rest[..(kept - start.Length)];
        Options options = new Options().Number(2, (uint)direction);
        if (comment.Length > 0) options.Text(Comment, comment);
        options.End();
        Span<byte> body = Begin(PcapngReader.EnhancedPacketBlock, 20 + Padded(kept) + options.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(body, (uint)interfaceNumber);
        WriteTime(body[4..], time);
        BinaryPrimitives.WriteUInt32LittleEndian(body[12..], (uint)kept);
        BinaryPrimitives.WriteUInt32LittleEndian(body[16..], (uint)length);
        start.CopyTo(body[20..]);
        rest.CopyTo(body[(20 + start.Length)..]);
        body[(20 + kept)..(20 + Padded(kept))].Clear();
        options.CopyTo(body[(20 + Padded(kept))..]);
        End(body.Length);
    }

    /// <summary>Tells how an interface was captured.</summary>
    /// <param name="from">When the capture began, since 1970-01-01 UTC.</param>
    /// <param name="until">Now, likewise.</param>
    /// <param name="accepted">Packets that the filter let through.</param>
    /// <param name="lost">Of them, those that are not in the file for want of room.</param>
    public void WriteStatistics(int interfaceNumber, TimeSpan from, TimeSpan until, long accepted, long lost)
    {
        Span<byte> time = stackalloc byte[8];
        var options = new Options();
        WriteTime(time, from);
        options.Bytes(2, time);
        WriteTime(time, until);
        options.Bytes(3, time);
        foreach ((ushort code, long count) in new[] { ((ushort)5, lost), ((ushort)6, accepted), ((ushort)8, accepted - lost) })
        {
            BinaryPrimitives.WriteInt64LittleEndian(time, count);
            options.Bytes(code, time);
        }
        options.End();
        Span<byte> body = Begin(PcapngReader.InterfaceStatisticsBlock, 12 + options.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(body, (uint)interfaceNumber);
        WriteTime(body[4..], until);
        options.CopyTo(body[12..]);
        End(body.Length);
    }

    private static int Padded(int length) => (length + 3) & ~3;

    /// <summary>Upper half first, each little-endian.</summary>
    private static void WriteTime(Span<byte> to, TimeSpan time)
    {
        ulong nanoseconds = (ulong)time.Ticks * 100;
        BinaryPrimitives.WriteUInt32LittleEndian(to, (uint)(nanoseconds >> 32));
        BinaryPrimitives.WriteUInt32LittleEndian(to[4..], (uint)nanoseconds);
    }

    private Span<byte> Begin(uint type, int bodyLength)
    {
        Span<byte> block = output.GetSpan(bodyLength + FramingLength)[..(bodyLength + FramingLength)];
        BinaryPrimitives.WriteUInt32LittleEndian(block, type);
        BinaryPrimitives.WriteUInt32LittleEndian(block[4..], (uint)block.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(block[^4..], (uint)block.Length);
        return block[8..^4];
    }

    private void End(int bodyLength) => output.Advance(bodyLength + FramingLength);

    /// <summary>Options behind the fixed fields of a block, each padded to four bytes.</summary>
    private sealed class Options
    {
        private readonly ArrayBufferWriter<byte> _bytes = new(64);

        public int Length => _bytes.WrittenCount;

        public Options Text(ushort code, string text)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            return Bytes(code, bytes.AsSpan(0, Math.Min(bytes.Length, MostOptionLength)));
        }

        public Options Number(ushort code, uint number)
        {
            Span<byte> bytes = stackalloc byte[4];
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, number);
            return Bytes(code, bytes);
        }

        public Options Bytes(ushort code, ReadOnlySpan<byte> value)
        {
            int length = OptionHeaderLength + Padded(value.Length);
            Span<byte> option = _bytes.GetSpan(length)[..length];
            option.Clear();
            BinaryPrimitives.WriteUInt16LittleEndian(option, code);
            BinaryPrimitives.WriteUInt16LittleEndian(option[2..], (ushort)value.Length);
            value.CopyTo(option[OptionHeaderLength..]);
            _bytes.Advance(length);
            return this;
        }

        public Options End() => Bytes(EndOfOptions, default);

        public void CopyTo(Span<byte> to) => _bytes.WrittenSpan.CopyTo(to);
    }
}
