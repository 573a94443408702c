using System.Globalization;
using System.Text;
using Overlay.Csi.Formatting;
using Overlay.Csi.Tools;
using Overlay.Linux;
using Overlay.Linux.Storage;

namespace Overlay.Csi.Pools;

/// <summary>That a pool's device is being formatted: a file that is written before and removed after.</summary>
/// <param name="Uuid">Of the xfs that is made.</param>
/// <param name="Node">Number of the device.</param>
/// <param name="Bytes">Length of the device.</param>
internal sealed record FormattingMark(string Uuid, ulong Node, long Bytes)
{
    public static FormattingMark Of(FileDescriptor device) => new(Guid.NewGuid().ToString(), FileIdentity.Of(device).Node, ImageFile.Length(device));

    /// <summary>Null where there is none, or one that does not say of which device it is: nothing may be overwritten under that.</summary>
    public static FormattingMark? Read(string path)
    {
        if (!File.Exists(path)) return null;
        return File.ReadAllText(path).Split(' ') is [var uuid, var node, var bytes] && Guid.TryParse(uuid, out _)
            && ulong.TryParse(node, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)
            && long.TryParse(bytes, NumberStyles.None, CultureInfo.InvariantCulture, out long length)
            ? new FormattingMark(uuid, number, length)
            : null;
    }

    /// <summary>Durable when it returns.</summary>
    public void Write(string path) => DurableFile.Write(path, Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{Uuid} {Node} {Bytes}")));

    /// <summary>
    /// Whether all that can be on a device are parts of the xfs that was begun: it has its UUID, or it is the device that was found blank, and no
    /// signature is on it.
    /// </summary>
    public bool IsOf(FileDescriptor device, ToolRunner tools)
    {
        if (Superblock.Read(device) is { } superblock) return superblock.Type == "xfs" && superblock.Uuid == Uuid;
        return FileIdentity.Of(device).Node == Node && ImageFile.Length(device) == Bytes && Signatures.FindOther(device, tools, "xfs", Uuid) is null;
    }
}
