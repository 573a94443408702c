using Overlay.Csi.Formatting;
using Overlay.Csi.State;
using Overlay.Csi.Tools;
using Overlay.Linux;
using Overlay.Linux.Loop;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Node;

/// <summary>
/// Gives an image its file system once, and only where nothing can be lost: its record says that it never had one, it is the very file that
/// was made, every byte of it is zero, libblkid finds nothing, and nobody else has it.
/// </summary>
internal sealed class Formatter(VolumeStore store, FileSystems fileSystems, ToolRunner tools, Steps steps)
{
    /// <summary>Looks at an image that is to be formatted; nothing is written but the mark that it is.</summary>
    /// <returns>The record, marked where it will be formatted.</returns>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: the image is not blank; the message tells what was found.</exception>
    public VolumeRecord Prepare(VolumeRecord record, FileDescriptor image)
    {
        if (record.Format is { Phase: FormatPhase.Done }) return record;
        steps.Next(record.Id, "probe");
        if (record.Format is { Phase: FormatPhase.Formatting } begun)
        {
            // An earlier call found it blank, and began to make a file system of this UUID: only parts of that may be there.
            if (Signatures.FindOther(image, tools, begun.Type, begun.Uuid) is { } other) throw NotBlank(record, other);
            return record;
        }
        if (Signatures.Find(image, tools) is { } found) throw NotBlank(record, found);
        record = record with { Format = new FormatRecord(FormatPhase.Formatting, record.Kind, Guid.NewGuid().ToString()) };
        steps.Next(record.Id, "mark formatting");
        store.Put(record);
        return record;
    }

    /// <summary>Makes the file system of a record that is marked.</summary>
    public VolumeRecord Format(VolumeRecord record, AttachedLoop loop)
    {
        try
        {
            using FileDescriptor alone = ImageFile.OpenExclusively(loop.Device.Path);
        }
        catch (LinuxException exception) when (exception.IsInUse)
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"{loop.Device.Path} is in use by somebody else; it is not formatted", exception);
        }
        steps.Next(record.Id, "format");
        fileSystems.Make(record.Kind, loop.Device.Path, record.Format!.Uuid, record.MkfsOptions, keepsSpace: record.Reserved);
        ImageFile.Sync(loop.Descriptor);
        record = record with { Format = record.Format with { Phase = FormatPhase.Done } };
        Verify(record, loop.Descriptor);
        steps.Next(record.Id, "mark formatted");
        store.Put(record);
        return record;
    }

    /// <summary>The file system on the device is the one that was recorded.</summary>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: it is another one, or none.</exception>
    public Superblock Verify(VolumeRecord record, FileDescriptor device)
    {
        Superblock? found = Superblock.Read(device);
        if (found is not null && found.Type == record.Kind && found.Uuid == record.Format!.Uuid) return found;
        throw NotBlank(record, Signatures.Find(device, tools) ?? "nothing but zeros");
    }

    private static GrpcException NotBlank(VolumeRecord record, string found) => new(
        GrpcStatusCode.FailedPrecondition,
        $"the image of volume {record.Id} holds {found} where {(record.Format is { Phase: FormatPhase.Done } format ? $"its {format.Type} of UUID {format.Uuid}" : "nothing")} is expected; it is kept as it is: move it away, or restore the image");
}
