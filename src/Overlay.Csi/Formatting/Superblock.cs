using System.Buffers.Binary;
using Overlay.Linux;
using Overlay.Linux.Storage;

namespace Overlay.Csi.Formatting;

/// <summary>What a file system says of itself.</summary>
/// <param name="Type"><c>ext4</c>, <c>xfs</c> or <c>btrfs</c>.</param>
/// <param name="Bytes">How much of the device it uses.</param>
/// <param name="Label">Name that it was given; may be empty.</param>
/// <param name="IsFinished">Whether the program that makes it came to its end; an xfs tells (<c>sb_inprogress</c>), and the kernel mounts none that did not.</param>
internal sealed record Superblock(string Type, string Uuid, long Bytes, string Label, bool IsFinished = true)
{
    private const int Ext4Offset = 1024;
    private const int BtrfsOffset = 65536;
    private const uint Ext4Has64Bit = 0x80;

    /// <summary>Null where there is none of the three.</summary>
    /// <exception cref="LinuxException">The device cannot be read.</exception>
    public static Superblock? Read(FileDescriptor device)
    {
        byte[] buffer = new byte[BtrfsOffset + 4096];
        int length = ImageFile.ReadAt(device, buffer, 0);
        return ReadXfs(buffer) ?? ReadExt4(buffer.AsSpan(Ext4Offset, 1024)) ?? ReadBtrfs(buffer.AsSpan(BtrfsOffset), length);
    }

    private static Superblock? ReadXfs(ReadOnlySpan<byte> block) => block.StartsWith("XFSB"u8)
        ? new Superblock(
            "xfs",
            UuidAt(block[32..]),
            BinaryPrimitives.ReadUInt32BigEndian(block[4..]) * (long)BinaryPrimitives.ReadUInt64BigEndian(block[8..]),
            TextAt(block.Slice(108, 12)),
            IsFinished: block[126] == 0)
        : null;

    private static Superblock? ReadExt4(ReadOnlySpan<byte> block)
    {
        if (BinaryPrimitives.ReadUInt16LittleEndian(block[56..]) != 0xef53) return null;
        ulong blocks = BinaryPrimitives.ReadUInt32LittleEndian(block[4..]);
        if ((BinaryPrimitives.ReadUInt32LittleEndian(block[96..]) & Ext4Has64Bit) != 0)
        {
            blocks |= (ulong)BinaryPrimitives.ReadUInt32LittleEndian(block[336..]) << 32;
        }
        int shift = (int)BinaryPrimitives.ReadUInt32LittleEndian(block[24..]);
        return new Superblock("ext4", UuidAt(block[104..]), (long)(blocks << (10 + (shift & 15))), TextAt(block.Slice(120, 16)));
    }

    private static Superblock? ReadBtrfs(ReadOnlySpan<byte> block, int length) =>
        length > BtrfsOffset && block[64..].StartsWith("_BHRfS_M"u8)
            ? new Superblock("btrfs", UuidAt(block[32..]), (long)BinaryPrimitives.ReadUInt64LittleEndian(block[112..]), "")
            : null;

    private static string UuidAt(ReadOnlySpan<byte> bytes) => new Guid(bytes[..16], bigEndian: true).ToString();

    private static string TextAt(ReadOnlySpan<byte> bytes) => System.Text.Encoding.ASCII.GetString(bytes).TrimEnd('\0');
}
