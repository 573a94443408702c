using System.Collections.Concurrent;
using System.Text.Json;
using Overlay.Linux.Storage;

namespace Overlay.Csi.State;

/// <summary>The records of all volumes, in memory and on disk. Held by one process at a time.</summary>
internal sealed class VolumeStore : IDisposable
{
    private readonly string _folder;
    private readonly FileStream _lock;
    private readonly ConcurrentDictionary<string, VolumeRecord> _records = new(StringComparer.Ordinal);

    private VolumeStore(string folder, FileStream instance)
    {
        _folder = folder;
        _lock = instance;
    }

    /// <summary>All records, by identifier.</summary>
    public IEnumerable<VolumeRecord> All => _records.Values.OrderBy(record => record.Id, StringComparer.Ordinal);

    /// <exception cref="StartRefusedException">Another driver holds the folder, or a record cannot be read.</exception>
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
        foreach (string path in Directory.EnumerateFiles(folder, "*.json")) store.Read(path);
        return store;
    }

    public VolumeRecord? Find(string id) => _records.GetValueOrDefault(id);

    /// <summary>Durable when it returns.</summary>
    public void Put(VolumeRecord record)
    {
        DurableFile.Write(PathOf(record.Id), JsonSerializer.SerializeToUtf8Bytes(record, VolumeJson.Default.VolumeRecord));
        _records[record.Id] = record;
    }

    /// <summary>Durable when it returns.</summary>
    public void Remove(string id)
    {
        DurableFile.Delete(PathOf(id));
        _records.TryRemove(id, out _);
    }

    public void Dispose() => _lock.Dispose();

    private string PathOf(string id) => Path.Combine(_folder, $"{id}.json");

    private void Read(string path)
    {
        const string remedy = "restore the file, or move it away: its volume's image then is unknown, and is kept";
        try
        {
            VolumeRecord? record = JsonSerializer.Deserialize(File.ReadAllBytes(path), VolumeJson.Default.VolumeRecord);
            if (record is null || PathOf(record.Id) != path) throw new StartRefusedException($"{path} is no record of the volume it is named after", remedy);
            _records[record.Id] = record;
        }
        catch (JsonException exception)
        {
            throw new StartRefusedException($"{path} is no record of a volume: {exception.Message}", remedy);
        }
    }
}
