using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;

namespace Overlay.Csi.Node;

/// <summary>Where an image is attached and mounted, as the kernel tells it now.</summary>
/// <param name="Loops">Loop devices that read the image.</param>
/// <param name="Mounts">Mounts of those devices' file systems, and of their nodes.</param>
internal sealed record Attachment(IReadOnlyList<LoopDevice> Loops, IReadOnlyList<MountEntry> Mounts)
{
    /// <param name="image">Null: it is not there, so nothing can be told of it.</param>
    public static Attachment Of(FileIdentity? image)
    {
        IReadOnlyList<LoopDevice> loops = image is { } file ? LoopDevices.BackedBy(file) : [];
        return new Attachment(loops, loops.Count == 0 ? [] : [.. MountTable.Read().Where(entry => DeviceOf(entry) is { } device && loops.Any(loop => loop.Path == device))]);
    }

    /// <summary>Path of the loop device that a mount is of; null where it is of none.</summary>
    public static string? DeviceOf(MountEntry entry) =>
        entry.Source.StartsWith("/dev/loop", StringComparison.Ordinal) ? entry.Source
        : entry.Root.StartsWith("/loop", StringComparison.Ordinal) && entry.Root[5..].All(char.IsAsciiDigit) ? $"/dev{entry.Root}"
        : null;

    /// <summary>The mount of this image at a path, if it is the topmost there.</summary>
    public MountEntry? At(string path) => MountTable.At(path) is [.., { } top] && Mounts.Any(mount => mount.Id == top.Id) ? top : null;

    /// <summary>The devices that no mount is of.</summary>
    public IEnumerable<LoopDevice> Unmounted() => Loops.Where(loop => Mounts.All(mount => DeviceOf(mount) != loop.Path));
}
