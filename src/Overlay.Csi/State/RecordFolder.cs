using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Overlay.Linux.Storage;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.State;

/// <summary>
/// Records of one sort, in memory and on disk: a JSON file each. A file that is no sound record is kept as it is, and its volume is as one whose
/// record was lost.
/// </summary>
/// <param name="idOf">Identifier of a record.</param>
/// <param name="nameOf">Name of the file of an identifier, without its extension.</param>
/// <param name="faultOf">What cannot be in a record that was read; null where all can.</param>
internal sealed class RecordFolder<T>(string folder, JsonTypeInfo<T> type, Func<T, string> idOf, Func<string, string> nameOf, Func<T, string?> faultOf)
    where T : class
{
    private readonly ConcurrentDictionary<string, T> _records = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, string> _damaged = new(StringComparer.Ordinal);

    /// <summary>All of them, by identifier.</summary>
    public IEnumerable<T> All => _records.OrderBy(record => record.Key, StringComparer.Ordinal).Select(record => record.Value);

    /// <summary>A line for each file that is no sound record.</summary>
    public IEnumerable<string> Damaged => _damaged.Values.Order(StringComparer.Ordinal);

    public T? Find(string id) => _records.GetValueOrDefault(id);

    /// <exception cref="GrpcException">FAILED_PRECONDITION: there is a file of that record, which cannot be read.</exception>
    public void CheckUndamaged(string id)
    {
        if (_damaged.TryGetValue(PathOf(id), out string? problem)) throw new GrpcException(GrpcStatusCode.FailedPrecondition, problem);
    }

    /// <summary>Durable when it returns. A damaged file in its place is kept beside it.</summary>
    public void Put(T record)
    {
        string path = PathOf(idOf(record));
        if (_damaged.ContainsKey(path))
        {
            File.Move(path, $"{path}.damaged-{DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()}", overwrite: false);
            _damaged.TryRemove(path, out _);
        }
        DurableFile.Write(path, JsonSerializer.SerializeToUtf8Bytes(record, type));
        _records[idOf(record)] = record;
    }

    /// <summary>Durable when it returns.</summary>
    public void Remove(string id)
    {
        DurableFile.Delete(PathOf(id));
        _records.TryRemove(id, out _);
    }

    /// <summary>Makes the folder, and reads what is in it.</summary>
    public void Load()
    {
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (string path in Directory.EnumerateFileSystemEntries(folder, "*.json"))
        {
            string? fault;
            try
            {
                T? record = JsonSerializer.Deserialize(File.ReadAllBytes(path), type);
                fault = record is null ? "it is empty" : PathOf(idOf(record)) != path ? $"it is of '{idOf(record)}'" : faultOf(record);
                if (fault is null) _records[idOf(record!)] = record!;
            }
            catch (Exception exception) when (exception is JsonException or IOException or UnauthorizedAccessException)
            {
                fault = exception.Message;
            }
            if (fault is not null) _damaged[path] = $"{path} is no sound record ({fault}); it and the image of its volume are kept: restore the file, or move it away, and start the driver again";
        }
    }

    private string PathOf(string id) => Path.Combine(folder, $"{nameOf(id)}.json");
}
