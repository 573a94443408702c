using System.Buffers.Binary;

namespace Overlay.Testing;

/// <summary>Writes Ethernet frames to a pcap file (draft-ietf-opsawg-pcap, version 2.4, little-endian), one a microsecond.</summary>
public sealed class PcapWriter : IDisposable
{
    private const uint MicrosecondMagic = 0xa1b2c3d4;
    private const int EthernetLinkType = 1;
    private const int MaxFrame = 0x40000;

    private readonly FileStream _file;
    private int _frames;

    /// <param name="path">Created, or overwritten.</param>
    public PcapWriter(string path)
    {
        _file = File.Create(path);
        Span<byte> header = stackalloc byte[24];
        header.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(header, MicrosecondMagic);
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], 2);
        BinaryPrimitives.WriteUInt16LittleEndian(header[6..], 4);
        BinaryPrimitives.WriteInt32LittleEndian(header[16..], MaxFrame);
        BinaryPrimitives.WriteInt32LittleEndian(header[20..], EthernetLinkType);
        _file.Write(header);
    }

    public void Write(ReadOnlySpan<byte> frame)
    {
        Span<byte> header = stackalloc byte[16];
        BinaryPrimitives.WriteInt32LittleEndian(header, _frames / 1_000_000);
        BinaryPrimitives.WriteInt32LittleEndian(header[4..], _frames % 1_000_000);
        BinaryPrimitives.WriteInt32LittleEndian(header[8..], frame.Length);
        BinaryPrimitives.WriteInt32LittleEndian(header[12..], frame.Length);
        _file.Write(header);
        _file.Write(frame);
        _frames++;
    }

    public void Dispose() => _file.Dispose();
}
