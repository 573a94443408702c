using Overlay.Csi.Tools;
using Overlay.Linux;
using Overlay.Linux.Storage;

namespace Overlay.Csi.Formatting;

/// <summary>What is on a device that may be somebody's.</summary>
internal static class Signatures
{
    private const int NothingFound = 2;

    private static readonly (int Offset, byte[] Bytes, string Name)[] Known =
    [
        (0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe], "a LUKS container"),
        (0x4000, [0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe], "a LUKS container"),
        (0, "LABELONE"u8.ToArray(), "an LVM physical volume"),
        (512, "LABELONE"u8.ToArray(), "an LVM physical volume"),
        (1024, "LABELONE"u8.ToArray(), "an LVM physical volume"),
        (1536, "LABELONE"u8.ToArray(), "an LVM physical volume"),
        (512, "EFI PART"u8.ToArray(), "a GPT partition table"),
        (4096, "EFI PART"u8.ToArray(), "a GPT partition table"),
        (4086, "SWAPSPACE2"u8.ToArray(), "swap space"),
        (510, [0x55, 0xaa], "a DOS partition table or boot sector"),
    ];

    /// <summary>
    /// What is there, such as <c>an xfs file system</c>; null where every byte is zero, all of them read, and libblkid finds nothing either.
    /// What cannot be read is not blank.
    /// </summary>
    /// <param name="device">Open for reading.</param>
    public static string? Find(FileDescriptor device, ToolRunner tools)
    {
        try
        {
            long? data = ImageFile.FirstData(device);
            string? known = Superblock.Read(device) is { } superblock
                ? Describe(superblock)
                : OfTable(device);
            string? probed = Probe(device, tools);
            return known is not null || probed is not null ? string.Join(", ", new[] { known, probed }.OfType<string>())
                : data is { } offset ? $"data without a known signature, at byte {offset}"
                : null;
        }
        catch (LinuxException exception)
        {
            return $"what cannot be read ({exception.Message})";
        }
    }

    /// <summary>
    /// What is there beside parts of a file system of that type and UUID; null where nothing is known to be. Bytes without a signature count as such
    /// parts.
    /// </summary>
    public static string? FindOther(FileDescriptor device, ToolRunner tools, string type, string uuid)
    {
        try
        {
            if (Superblock.Read(device) is { } superblock) return superblock.Type == type && superblock.Uuid == uuid ? null : Describe(superblock);
            string? known = OfTable(device), probed = Probe(device, tools);
            return known is null && (probed is null || probed.Contains($"TYPE={type}", StringComparison.Ordinal)) ? null : known ?? probed;
        }
        catch (LinuxException exception)
        {
            return $"what cannot be read ({exception.Message})";
        }
    }

    private static string Describe(Superblock superblock) =>
        $"{(superblock.Type == "btrfs" ? "a" : "an")} {superblock.Type} file system (UUID {superblock.Uuid})";

    private static string? OfTable(FileDescriptor device)
    {
        byte[] head = new byte[0x4000 + 512];
        ImageFile.ReadAt(device, head, 0);
        foreach ((int offset, byte[] bytes, string name) in Known)
        {
            if (head.AsSpan(offset).StartsWith(bytes)) return name;
        }
        return null;
    }

    private static string? Probe(FileDescriptor device, ToolRunner tools)
    {
        // The very file that is open here, whatever its path leads to by now.
        ToolResult result = tools.Run("blkid", "--probe", "--output", "export", $"/proc/{Environment.ProcessId}/fd/{device.Number}");
        if (result.ExitCode == NothingFound) return null;
        string[] found =
        [
            .. result.Output.Split('\n').Where(line => line.StartsWith("TYPE=", StringComparison.Ordinal) || line.StartsWith("PTTYPE=", StringComparison.Ordinal)),
        ];
        return $"blkid: {(found.Length > 0 ? string.Join(' ', found) : result.ExitCode == 0 ? "a signature" : result.Errors)}";
    }
}
