using System.Text.RegularExpressions;
using Overlay.Csi.Node;
using Overlay.Csi.Pools;
using Overlay.Csi.State;
using Overlay.Linux;
using Overlay.Rpc;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Api;

/// <summary>Tells of the volumes of this node, who uses them and how they are.</summary>
internal sealed partial class VolumesReporter(CsiOptions options, VolumeStore store, PoolSet pools, VolumeStats stats)
{
    public async Task<VolumesDocument> ReportAsync(CancellationToken cancellation) => new(
        options.Name,
        options.NodeId,
        [.. pools.All.Select(Describe)],
        await Task.WhenAll(store.All.Select(record => DescribeAsync(record, cancellation))).ConfigureAwait(false),
        [.. store.Damaged]);

    private PoolStatus Describe(DirectoryPool pool) =>
        new(pool.Name, pool.Folder, pool.TryAvailable(store.Images, out string? problem), problem);

    private async Task<VolumeStatus> DescribeAsync(VolumeRecord record, CancellationToken cancellation) => new(
        record.Id,
        record.Name,
        record.Pool,
        record.Static?.Kind ?? record.Kind,
        record.CapacityBytes,
        record.Static is null ? Occupied(record) : 0,
        [.. store.Snapshots.All.Where(snapshot => snapshot.Volume == record.Id).Select(snapshot => snapshot.Id)],
        record.Staging?.Path,
        await WrongWithAsync(record, cancellation).ConfigureAwait(false),
        [.. record.Publications.Select(publication => new VolumeUser(publication.Pod, PodOf(publication.Target), publication.Target, publication.IsReadOnly))]);

    private long Occupied(VolumeRecord record)
    {
        try
        {
            return pools.Find(record.Pool)?.Occupied(record.Id) ?? 0;
        }
        catch (LinuxException)
        {
            // Its condition tells.
            return 0;
        }
    }

    private async Task<string?> WrongWithAsync(VolumeRecord record, CancellationToken cancellation)
    {
        try
        {
            return await stats.WrongAsync(record, cancellation).ConfigureAwait(false);
        }
        catch (GrpcException exception)
        {
            return exception.Message;
        }
    }

    private static string? PodOf(string target) => PodUid().Match(target) is { Success: true } match ? match.Groups[1].Value : null;

    /// <summary>The kubelet's paths: <c>pods/UID/volumes/…</c>, and <c>…/publish/PV/UID</c> for raw block volumes.</summary>
    [GeneratedRegex("(?:/pods/|/volumeDevices/publish/[^/]+/)([0-9a-f-]{36})(?:/|$)")]
    private static partial Regex PodUid();
}
