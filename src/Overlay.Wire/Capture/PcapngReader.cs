using System.Buffers.Binary;
using System.Text;

namespace Overlay.Wire.Capture;

/// <summary>
/// pcapng, version 1 (draft-ietf-opsawg-pcapng): sections of blocks, each section with its own byte order and interfaces. Reads section
/// header, interface description, enhanced, simple and (obsolete) packet blocks, and skips all others.
/// </summary>
internal sealed class PcapngReader : CaptureReader
{
    /// <summary>The same in either byte order.</summary>
    public const uint SectionHeaderBlock = 0x0a0d0d0a;

    /// <summary>Interfaces a section may describe, so that memory stays bounded.</summary>
    public const int MaxInterfaces = 65_536;

    public const uint InterfaceDescriptionBlock = 1;
    private const uint PacketBlock = 2;
    private const uint SimplePacketBlock = 3;
    public const uint InterfaceStatisticsBlock = 5;
    public const uint EnhancedPacketBlock = 6;

    public const uint ByteOrderMagic = 0x1a2b3c4d;

    private const ushort CommentOption = 1;

    /// <summary>Of packets; of interfaces it is the name, which is not asked for.</summary>
    private const ushort FlagsOption = 2;

    private const ushort ResolutionOption = 9;

    /// <summary>Type and length before a block's body, and the length again behind it.</summary>
    private const int FramingLength = 12;

    private readonly List<CaptureInterface> _interfaces = [];
    private uint _rest;

    /// <param name="input">Stands behind the first block's type.</param>
    public PcapngReader(CaptureInput input)
        : base(input) => ReadSectionHeader();

    public override bool TryRead(out CapturedFrame frame)
    {
        frame = default;
        Span<byte> type = stackalloc byte[4];
        while (Input.TryRead(type, "a block's type"))
        {
            if (Input.UInt32(type) == SectionHeaderBlock)
            {
                ReadSectionHeader();
                continue;
            }
            uint length = Input.ReadUInt32("a block's length");
            CheckLength(length);
            _rest = length - FramingLength;
            bool isFrame = ReadBody(Input.UInt32(type), ref frame);
            EndBlock(length);
            if (isFrame) return true;
        }
        return false;
    }

    private bool ReadBody(uint type, ref CapturedFrame frame)
    {
        switch (type)
        {
            case InterfaceDescriptionBlock:
                ReadInterface();
                return false;
            case EnhancedPacketBlock:
            case PacketBlock:
                frame = ReadPacket(type);
                return true;
            case SimplePacketBlock:
                frame = ReadSimplePacket();
                return true;
            default:
                return false;
        }
    }

    private void ReadSectionHeader()
    {
        Span<byte> start = stackalloc byte[8];
        Input.Read(start, "a section header");
        Input.IsLittleEndian = BinaryPrimitives.ReadUInt32LittleEndian(start[4..]) == ByteOrderMagic;
        if (Input.UInt32(start[4..]) != ByteOrderMagic) throw Unsound("a section header has no byte-order magic");
        uint length = Input.UInt32(start);
        CheckLength(length);
        _rest = length - FramingLength;
        Consume(4);
        Span<byte> version = stackalloc byte[12];
        ReadFields(version, "a section header");
        int major = Input.UInt16(version);
        if (major != 1) throw Unsound($"pcapng version {major}.{Input.UInt16(version[2..])} is not 1.x");
        _interfaces.Clear();
        EndBlock(length);
    }

    private void ReadInterface()
    {
        Span<byte> fields = stackalloc byte[8];
        ReadFields(fields, "an interface description");
        if (_interfaces.Count == MaxInterfaces) throw Unsound($"a section describes more than {MaxInterfaces} interfaces");
        // Microseconds unless an option says otherwise.
        byte resolution = 6;
        foreach ((ushort code, byte[] value) in ReadOptions())
        {
            if (code == ResolutionOption && value.Length == 1) resolution = value[0];
        }
        _interfaces.Add(new CaptureInterface(Input.UInt16(fields), Input.UInt32(fields[4..]), resolution));
    }

    /// <summary>The options of a block that are of interest. Ends with the block at the latest; what breaks the format is read over.</summary>
    private List<(ushort Code, byte[] Value)> ReadOptions()
    {
        var options = new List<(ushort Code, byte[] Value)>();
        Span<byte> header = stackalloc byte[4];
        while (_rest >= header.Length)
        {
            ReadFields(header, "an option");
            (ushort code, ushort length) = (Input.UInt16(header), Input.UInt16(header[2..]));
            uint padded = (uint)(length + 3) & ~3u;
            if (code == 0 || padded > _rest) break;
            if (code is CommentOption or FlagsOption or ResolutionOption)
            {
                byte[] value = new byte[length];
                ReadFields(value, "an option");
                Consume(padded - length);
                Input.Skip(padded - length, "an option");
                options.Add((code, value));
            }
            else
            {
                Consume(padded);
                Input.Skip(padded, "an option");
            }
        }
        return options;
    }

    private CapturedFrame ReadPacket(uint type)
    {
        Span<byte> fields = stackalloc byte[20];
        ReadFields(fields, "a packet block");
        uint number = type == PacketBlock ? Input.UInt16(fields) : Input.UInt32(fields);
        CaptureInterface of = Interface(number);
        CapturedFrame frame = ReadFrame(number, Input.UInt32(fields[12..]), Input.UInt32(fields[16..]));
        uint padding = (uint)-(int)Input.UInt32(fields[12..]) & 3;
        if (padding > _rest) return frame;
        Consume(padding);
        Input.Skip(padding, "a frame");
        string? comment = null;
        var direction = CaptureDirection.Unknown;
        foreach ((ushort code, byte[] value) in ReadOptions())
        {
            if (code == CommentOption) comment ??= Encoding.UTF8.GetString(value);
            else if (code == FlagsOption && value.Length == 4) direction = (CaptureDirection)(Input.UInt32(value) & 3);
        }
        ulong time = ((ulong)Input.UInt32(fields[4..]) << 32) | Input.UInt32(fields[8..]);
        return new CapturedFrame(frame.LinkType, frame.Length, frame.CapturedLength, frame.Data)
        {
            InterfaceNumber = (int)number,
            Time = of.TimeOf(time),
            Direction = direction,
            Comment = comment,
        };
    }

    private CapturedFrame ReadSimplePacket()
    {
        Span<byte> field = stackalloc byte[4];
        ReadFields(field, "a simple packet block");
        uint original = Input.UInt32(field);
        uint snapLength = Interface(0).SnapLength;
        return ReadFrame(0, snapLength == 0 ? original : Math.Min(original, snapLength), original);
    }

    private CapturedFrame ReadFrame(uint number, uint captured, uint original)
    {
        int linkType = Interface(number).LinkType;
        if (captured > _rest) throw Unsound($"a packet of {captured} bytes is longer than its block");
        Consume(captured);
        return new CapturedFrame(linkType, original, captured, ReadFrameData(captured));
    }

    private CaptureInterface Interface(uint number) =>
        number < _interfaces.Count ? _interfaces[(int)number] : throw Unsound($"a packet names interface {number}, which no block describes");

    private void ReadFields(Span<byte> fields, string what)
    {
        if (fields.Length > _rest) throw Unsound($"{what} is shorter than its fields");
        Consume((uint)fields.Length);
        Input.Read(fields, what);
    }

    private void Consume(uint count) => _rest -= count;

    private void CheckLength(uint length)
    {
        if (length < FramingLength || length % 4 != 0) throw Unsound($"a block's length is {length}, not a multiple of 4 from {FramingLength} up");
    }

    private void EndBlock(uint length)
    {
        Input.Skip(_rest, "a block");
        uint repeated = Input.ReadUInt32("a block's second length");
        if (repeated != length) throw Unsound($"a block's lengths differ, {length} before and {repeated} behind");
    }

    private CaptureFormatException Unsound(string what) => new($"{what}, before byte {Input.Position} of the file");

    private readonly record struct CaptureInterface(ushort LinkType, uint SnapLength, byte Resolution)
    {
        /// <summary>Of the powers of ten from seconds to nanoseconds; others are rare.</summary>
        public TimeSpan? TimeOf(ulong units)
        {
            if (Resolution > 9) return null;
            UInt128 ticks = units;
            for (int i = Resolution; i < 7; i++) ticks *= 10;
            for (int i = Resolution; i > 7; i--) ticks /= 10;
            return ticks > (ulong)TimeSpan.MaxValue.Ticks ? null : new TimeSpan((long)ticks);
        }
    }
}
