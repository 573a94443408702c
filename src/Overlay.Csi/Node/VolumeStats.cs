using Overlay.Csi.Pools;
using Overlay.Csi.Protos;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Linux.Mounts;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;
using Unit = Overlay.Csi.Protos.VolumeUsage.Types.Unit;

namespace Overlay.Csi.Node;

/// <summary>
/// How full a volume is, and whether it is sound. Takes no lock: it answers while another call works on the volume, and in time although its
/// file system does not.
/// </summary>
internal sealed class VolumeStats(VolumeStore store, PoolSet pools)
{
    private readonly PatientQuestions _questions = new();

    /// <exception cref="GrpcException">NOT_FOUND: no such volume, or it is not at that path.</exception>
    public Task<NodeGetVolumeStatsResponse> AtAsync(string id, string path, CancellationToken cancellation) => _questions.AskAsync(
        $"{path}\0{id}",
        () => At(id, path),
        hung => new NodeGetVolumeStatsResponse { VolumeCondition = new VolumeCondition { Abnormal = true, Message = hung } },
        cancellation);

    /// <summary>What is wrong with a volume; null where nothing is.</summary>
    /// <exception cref="GrpcException">INTERNAL: the kernel refused to tell.</exception>
    public Task<string?> WrongAsync(VolumeRecord record, CancellationToken cancellation) =>
        _questions.AskAsync($"\0{record.Id}", () => Wrong(record), hung => hung, cancellation);

    private NodeGetVolumeStatsResponse At(string id, string path)
    {
        VolumeRecord record = store.Find(id) ?? throw NotFound(id, path);
        if (!Path.IsPathFullyQualified(path) || MountTable.At(path) is not [.., { } top]) throw NotFound(id, path);
        bool isHere = record.Static is null
            ? pools.AttachmentOf(id, record).Mounts.Any(mount => mount.Id == top.Id)
            : MountTable.Canonical(path) is var canonical
                && record.Publications.Select(publication => publication.Target).Append(record.Staging?.Path ?? "/").Any(mine => MountTable.Canonical(mine) == canonical);
        // A volume whose device is gone is still where it was published.
        if (!isHere && record.Publications.All(publication => publication.Target != path)) throw NotFound(id, path);
        var response = new NodeGetVolumeStatsResponse();
        string? wrong = Wrong(record);
        try
        {
            if (record.Static is null && record.Kind == "block") response.Usage.Add(new VolumeUsage { Unit = Unit.Bytes, Total = record.ImageBytes });
            else AddUsage(response, FileSystemState.Usage(path));
        }
        catch (LinuxException exception)
        {
            wrong ??= exception.Message;
        }
        response.VolumeCondition = new VolumeCondition { Abnormal = wrong is not null, Message = wrong ?? "sound" };
        return response;
    }

    private string? Wrong(VolumeRecord record)
    {
        if (record.Static is not null)
        {
            return record.Staging is not { } bound ? null
                : MountTable.At(bound.Path) is not [.., { } top] ? Gone(bound.Path)
                : bound.Mount is { } known && top.Identity != known ? $"{top.Source} ({top.Type}) is mounted over it at {bound.Path}: unmount that"
                : null;
        }
        if (pools.Find(record.Pool) is not { } pool) return $"its pool {record.Pool} is not configured";
        string path = pool.PathOf(record.Id);
        if (FileIdentity.Of(path) is not { } image) return $"its image {path} is not there";
        if (image.Inode != record.Inode) return $"its image {path} was replaced";
        if (image.Bytes != record.ImageBytes && record.GrowingTo == 0) return $"its image {path} has {image.Bytes} bytes instead of {record.ImageBytes}";
        if (record.Format is { Phase: FormatPhase.Formatting }) return "it is being formatted, or that was cut short";
        if (record.Staging is not { } staging) return null;
        Attachment attachment = pools.AttachmentOf(record.Id, record);
        if (record.Kind == "block") return attachment.Own.Any() ? null : "its loop device is gone: delete its pods";
        if (attachment.At(staging.Path) is not { } mount) return MountTable.At(staging.Path) is [.., { } other] ? $"{other.Source} ({other.Type}) is mounted over it at {staging.Path}: unmount that" : Gone(staging.Path);
        if (staging.IsReadOnly) return null;
        if (mount.FileSystemOptions.Contains("ro") || mount.FileSystemOptions.Contains("emergency_ro"))
        {
            return "its file system went read-only after an error: see the kernel's log, then delete its pods, so that it is checked";
        }
        return mount.FileSystemOptions.Contains("shutdown") || !FileSystemState.Answers(staging.Path)
            ? "its file system shut itself down after an error: delete its pods"
            : ErrorsOf(mount);
    }

    private static string Gone(string path) => $"it is not mounted at {path} any more: delete its pods";

    /// <summary>ext4 counts the errors it met.</summary>
    private static string? ErrorsOf(MountEntry mount)
    {
        string counter = $"/sys/fs/ext4/{Path.GetFileName(mount.Source)}/errors_count";
        return mount.Type == "ext4" && File.Exists(counter) && File.ReadAllText(counter).Trim() is not "0" and { } errors
            ? $"its ext4 met {errors} errors: delete its pods, so that it is checked"
            : null;
    }

    private static void AddUsage(NodeGetVolumeStatsResponse response, FileSystemUsage usage)
    {
        response.Usage.Add(new VolumeUsage { Unit = Unit.Bytes, Total = usage.TotalBytes, Available = usage.AvailableBytes, Used = usage.UsedBytes });
        // btrfs makes inodes as it needs them and tells of none.
        if (usage.TotalInodes > 0)
        {
            response.Usage.Add(new VolumeUsage { Unit = Unit.Inodes, Total = usage.TotalInodes, Available = usage.AvailableInodes, Used = usage.UsedInodes });
        }
    }

    private static GrpcException NotFound(string id, string path) => new(GrpcStatusCode.NotFound, $"volume {id} is not at volume_path '{path}'");
}
