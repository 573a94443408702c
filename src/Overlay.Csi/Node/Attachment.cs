using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;

namespace Overlay.Csi.Node;

/// <summary>Where an image is attached and mounted, as the kernel tells it now.</summary>
/// <param name="Label">Of the loop devices that the driver makes for it: others are somebody's, and left alone.</param>
/// <param name="Loops">Loop devices that read the image, whoever made them, and all with that label.</param>
/// <param name="Mounts">Mounts of those devices' file systems, and of their nodes.</param>
internal sealed record Attachment(string Label, IReadOnlyList<LoopDevice> Loops, IReadOnlyList<MountEntry> Mounts)
{
    /// <summary>Of what has no image.</summary>
    public static Attachment None { get; } = new("", [], []);

    /// <summary>Loop devices that this driver made, or an earlier process of it.</summary>
    public IEnumerable<LoopDevice> Own => Loops.Where(loop => loop.Label == Label);

    public IEnumerable<LoopDevice> Others => Loops.Where(loop => loop.Label != Label);

    /// <summary>Own ones that no mount is of.</summary>
    public IEnumerable<LoopDevice> Unmounted => Own.Where(loop => Mounts.All(mount => DeviceOf(mount) != loop.Path));

    /// <summary>Those of <see cref="Mounts"/> that are of own devices.</summary>
    public IEnumerable<MountEntry> OwnMounts => Mounts.Where(mount => Own.Any(loop => loop.Path == DeviceOf(mount)));

    /// <param name="image">Null: it is not there.</param>
    /// <param name="paths">Where it is or was.</param>
    public static Attachment Of(FileIdentity? image, string label, params IReadOnlyList<string> paths)
    {
        IReadOnlyList<LoopDevice> loops = LoopDevices.Of(image, label, paths);
        return new Attachment(label, loops, loops.Count == 0 ? [] : [.. MountTable.Read().Where(entry => DeviceOf(entry) is { } device && loops.Any(loop => loop.Path == device))]);
    }

    /// <summary>Path of the loop device that a mount is of; null where it is of none.</summary>
    public static string? DeviceOf(MountEntry entry) =>
        entry.Source.StartsWith("/dev/loop", StringComparison.Ordinal) ? entry.Source
        : entry.Type is "devtmpfs" or "tmpfs" && entry.Root.StartsWith("/loop", StringComparison.Ordinal) && entry.Root[5..].All(char.IsAsciiDigit) ? $"/dev{entry.Root}"
        : null;

    /// <summary>The mount of this image at a path, if it is the topmost there.</summary>
    public MountEntry? At(string path) => MountTable.At(path) is [.., { } top] && Mounts.Any(mount => mount.Id == top.Id) ? top : null;
}
