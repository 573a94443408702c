using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Overlay.Linux.Storage;

namespace Overlay.Csi.State;

/// <summary>Records of one sort, in memory and on disk: a JSON file each.</summary>
/// <param name="idOf">Identifier of a record.</param>
/// <param name="nameOf">Name of the file of an identifier, without its extension.</param>
internal sealed class RecordFolder<T>(string folder, JsonTypeInfo<T> type, Func<T, string> idOf, Func<string, string> nameOf)
    where T : class
{
    private readonly ConcurrentDictionary<string, T> _records = new(StringComparer.Ordinal);

    /// <summary>All of them, by identifier.</summary>
    public IEnumerable<T> All => _records.OrderBy(record => record.Key, StringComparer.Ordinal).Select(record => record.Value);

    public T? Find(string id) => _records.GetValueOrDefault(id);

    /// <summary>Durable when it returns.</summary>
    public void Put(T record)
    {
        DurableFile.Write(PathOf(idOf(record)), JsonSerializer.SerializeToUtf8Bytes(record, type));
        _records[idOf(record)] = record;
    }

    /// <summary>Durable when it returns.</summary>
    public void Remove(string id)
    {
        DurableFile.Delete(PathOf(id));
        _records.TryRemove(id, out _);
    }

    /// <summary>Makes the folder, and reads what is in it.</summary>
    /// <exception cref="StartRefusedException">A record cannot be read.</exception>
    public void Load()
    {
        const string remedy = "restore the file, or move it away: its volume's image then is unknown, and is kept";
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (string path in Directory.EnumerateFiles(folder, "*.json"))
        {
            try
            {
                T? record = JsonSerializer.Deserialize(File.ReadAllBytes(path), type);
                if (record is null || PathOf(idOf(record)) != path) throw new StartRefusedException($"{path} is no record of the volume it is named after", remedy);
                _records[idOf(record)] = record;
            }
            catch (JsonException exception)
            {
                throw new StartRefusedException($"{path} is no record of a volume: {exception.Message}", remedy);
            }
        }
    }

    private string PathOf(string id) => Path.Combine(folder, $"{nameOf(id)}.json");
}
