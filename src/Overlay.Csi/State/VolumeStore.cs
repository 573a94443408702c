using Overlay.Rpc.Grpc;

namespace Overlay.Csi.State;

/// <summary>The records of all volumes and snapshots. Held by one process at a time.</summary>
internal sealed class VolumeStore : IDisposable
{
    private readonly string _folder;
    private readonly FileStream _lock;
    private readonly RecordFolder<VolumeRecord> _volumes;

    private VolumeStore(string folder, FileStream instance)
    {
        _folder = folder;
        _lock = instance;
        // Identifiers of static volumes are anything, those of others are names of files.
        _volumes = new RecordFolder<VolumeRecord>(
            folder, VolumeJson.Default.VolumeRecord, record => record.Id, id => VolumeId.IsVolume(id) ? id : $"static-{VolumeId.Digest(id)}", RecordFault.Of);
        Snapshots = new RecordFolder<SnapshotRecord>(
            Path.Combine(folder, "snapshots"), VolumeJson.Default.SnapshotRecord, record => record.Id, id => VolumeId.IsSnapshot(id) ? id : $"other-{VolumeId.Digest(id)}", RecordFault.Of);
    }

    /// <summary>All volumes, by identifier.</summary>
    public IEnumerable<VolumeRecord> All => _volumes.All;

    public RecordFolder<SnapshotRecord> Snapshots { get; }

    /// <summary>The images of all that is recorded.</summary>
    public IEnumerable<PoolImage> Images =>
        _volumes.All.Where(record => record.Static is null).Select(record => record.Image).Concat(Snapshots.All.Select(record => record.Image));

    /// <summary>A line for each file that is no sound record.</summary>
    public IEnumerable<string> Damaged => _volumes.Damaged.Concat(Snapshots.Damaged);

    /// <exception cref="StartRefusedException">Another driver holds the folder.</exception>
    public static VolumeStore Open(string folder)
    {
        FileStream instance;
        try
        {
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            // Exclusive: .NET takes flock(2) for it.
            instance = new FileStream(Path.Combine(folder, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StartRefusedException(
                $"the state folder {folder} cannot be held: {exception.Message}", "stop the other driver, or give this one a --state of its own");
        }
        var store = new VolumeStore(folder, instance);
        store._volumes.Load();
        store.Snapshots.Load();
        return store;
    }

    /// <summary>A file that may be made and removed while a call on the volume runs.</summary>
    public string TrialPathOf(string id) => Path.Combine(_folder, $"{id}.trial");

    public VolumeRecord? Find(string id) => _volumes.Find(id);

    /// <exception cref="GrpcException">FAILED_PRECONDITION: the volume's record is there and cannot be read.</exception>
    public void CheckUndamaged(string id) => _volumes.CheckUndamaged(id);

    /// <summary>The answer to a call on a volume that <see cref="Find"/> does not find.</summary>
    /// <exception cref="GrpcException">FAILED_PRECONDITION: its record is there and cannot be read.</exception>
    public GrpcException NotThere(string id)
    {
        CheckUndamaged(id);
        return new GrpcException(GrpcStatusCode.NotFound, $"there is no volume {id} here");
    }

    /// <summary>Durable when it returns.</summary>
    public void Put(VolumeRecord record) => _volumes.Put(record);

    /// <summary>Durable when it returns.</summary>
    public void Remove(string id) => _volumes.Remove(id);

    public void Dispose() => _lock.Dispose();
}
