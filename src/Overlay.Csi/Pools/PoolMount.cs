using Overlay.Csi.Formatting;
using Overlay.Csi.Tools;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;

namespace Overlay.Csi.Pools;

/// <summary>
/// Mounts pools that are an xfs in a file or on a device: one that can share blocks, so that snapshots take no time. What holds anything
/// else is refused and left as it is; an xfs is ours where it has our label.
/// </summary>
internal sealed class PoolMount(PoolOptions options, ToolRunner tools, Steps steps)
{
    private const string Label = "overlay-pool";

    private static readonly string[] Shape = ["-q", "-m", "reflink=1", "-L", Label];

    /// <summary>Of the loop device that this driver makes for its image.</summary>
    private readonly string _label = $"overlay-csi pool {VolumeId.Digest(options.Folder)[..16]}";

    private FolderLock? _held;

    /// <summary>Mounts it where it is not mounted yet, and takes it for this driver alone.</summary>
    /// <exception cref="StartRefusedException">It cannot be mounted, holds something else, or another driver has it.</exception>
    public void Open()
    {
        try
        {
            bool isMounted = options.Backing != PoolBacking.Folder && TryOpen();
            _held = FolderLock.TryTake(options.Folder);
            if (_held is not null) return;
            if (isMounted) Unmounting.All(options.Folder);
            throw Refuse($"another driver has {options.Folder}", "stop it, or give this one a pool of its own");
        }
        catch (Exception exception) when (exception is LinuxException or Rpc.Grpc.GrpcException)
        {
            throw Refuse(exception.Message, "see to it, or leave the pool out");
        }
    }

    /// <summary>Unmounts it where nobody uses it; volumes that stay staged keep it mounted.</summary>
    public void Close()
    {
        _held?.Dispose();
        if (options.Backing != PoolBacking.Folder) Unmounting.All(options.Folder);
    }

    /// <returns>Whether it mounted it: false where it was mounted already.</returns>
    private bool TryOpen()
    {
        if (options.Backing == PoolBacking.Image && FileIdentity.OfLink(options.Source) is null) MakeImage();
        if (FileIdentity.Of(options.Source) is not { } source || source.Kind != (options.Backing == PoolBacking.Image ? FileKind.Regular : FileKind.BlockDevice))
        {
            throw Refuse($"{options.Source} is no {(options.Backing == PoolBacking.Image ? "file" : "block device")}", "name another one");
        }
        IReadOnlyList<LoopDevice> loops = options.Backing == PoolBacking.Image ? LoopDevices.Of(source) : [];
        if (MountTable.At(options.Folder) is [.., { } top])
        {
            bool isOurs = loops.Any(loop => loop.Path == top.Source) || (options.Backing == PoolBacking.Device && FileIdentity.Of(top.Source)?.Node == source.Node);
            if (!isOurs) throw Refuse($"{top.Source} ({top.Type}) is mounted on {options.Folder}", "unmount it");
            Grow(loops);
            return false;
        }
        // An earlier driver's, whose mount namespace went while volumes of it stay in use.
        LoopDevice? present = loops is [{ } only] && only.Label == _label ? only : null;
        if (loops.Count > 0 && present is null) throw Refuse($"{options.Source} is in use by {string.Join(", ", loops.Select(loop => loop.Path))}", "detach it");
        Directory.CreateDirectory(options.Folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        using FileDescriptor image = ImageFile.Open(options.Source, writable: true);
        if (options.Backing == PoolBacking.Device) FormatDevice(image);
        CheckLabel(image);
        if (options.Backing == PoolBacking.Device)
        {
            Mount(options.Source);
            return true;
        }
        using AttachedLoop? loop = present is null ? LoopDevices.Attach(image, readOnly: false, autoClear: true, _label) : null;
        present ??= loop!.Device;
        Mount(present.Path);
        Grow([present]);
        return true;
    }

    /// <summary>Under another name until it is finished, so that one cut short is not taken for a pool.</summary>
    private void MakeImage()
    {
        string temporary = $"{options.Source}.new";
        steps.Next(options.Name, "make pool");
        DurableFile.Create(temporary);
        using (FileDescriptor image = ImageFile.Open(temporary, writable: true))
        {
            ImageFile.SetLength(image, options.Bytes);
            tools.Check("mkfs.xfs", [.. Shape, "-s", "size=512", "-f", temporary]);
            ImageFile.Sync(image);
        }
        File.Move(temporary, options.Source, overwrite: false);
        DurableFile.SyncFolder(Path.GetDirectoryName(options.Source)!);
    }

    /// <summary>
    /// Only a device on which every byte is zero, or one whose xfs this driver began and did not finish: a mark tells its UUID. What is finished, or has
    /// come in the place of the device that was begun, is never overwritten.
    /// </summary>
    private void FormatDevice(FileDescriptor device)
    {
        string mark = $"{options.Folder}.formatting";
        Superblock? present = Superblock.Read(device);
        bool wasCutShort = present is { Type: "xfs", IsFinished: false } && File.Exists(mark) && File.ReadAllText(mark) == present.Uuid;
        if (!wasCutShort && present is { Type: "xfs", Label: Label }) return;
        if (!wasCutShort && Signatures.Find(device, tools) is { } found)
        {
            throw Refuse($"{options.Source} holds {found}", "name a device that is blank (blkdiscard --zeroout blanks one), or an xfs with the label " + Label);
        }
        using (FileDescriptor alone = ImageFile.OpenExclusively(options.Source))
        {
            // Only to see that nobody else has it.
        }
        string uuid = Guid.NewGuid().ToString();
        steps.Next(options.Name, "mark formatting");
        DurableFile.Write(mark, System.Text.Encoding.ASCII.GetBytes(uuid));
        steps.Next(options.Name, "format pool");
        tools.Check("mkfs.xfs", [.. Shape, "-m", $"uuid={uuid}", "-f", options.Source]);
        ImageFile.Sync(device);
        DurableFile.Delete(mark);
    }

    private void CheckLabel(FileDescriptor image)
    {
        Superblock? superblock = Superblock.Read(image);
        if (superblock is { Type: "xfs", Label: Label }) return;
        string found = superblock is not null ? $"{superblock.Type} with the label '{superblock.Label}'" : Signatures.Find(image, tools) ?? "nothing but zeros";
        throw Refuse($"{options.Source} holds {found}", $"name another one, or an xfs with the label {Label}");
    }

    private void Mount(string device)
    {
        steps.Next(options.Name, "mount pool");
        const MountAttributes attributes = MountAttributes.NoSetuid | MountAttributes.NoDevices | MountAttributes.NoExecution;
        using DetachedMount mount = DetachedMount.Of("xfs", device, [], attributes);
        mount.MoveTo(options.Folder);
    }

    private void Grow(IReadOnlyList<LoopDevice> loops)
    {
        // xfs leaves less than an allocation group unused at the end.
        const long slack = 16L << 20;
        if (options.Backing != PoolBacking.Image) return;
        using FileDescriptor image = ImageFile.Open(options.Source, writable: true);
        long length = ImageFile.Length(image);
        if (options.Bytes < length) throw Refuse($"{options.Source} has {length} bytes, and no xfs shrinks to {options.Bytes}", "give its size");
        if (Superblock.Read(image) is { } superblock && superblock.Bytes + slack >= options.Bytes) return;
        steps.Next(options.Name, "grow pool");
        ImageFile.SetLength(image, options.Bytes);
        foreach (LoopDevice loop in loops) LoopDevices.Resize(loop);
        tools.Check("xfs_growfs", "-d", options.Folder);
    }

    private StartRefusedException Refuse(string wrong, string remedy) => new($"pool {options.Name}: {wrong}", remedy);
}
