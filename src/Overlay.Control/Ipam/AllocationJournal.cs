using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Overlay.Control.Ipam;

/// <summary>
/// One fact of the journal. Which members are set depends on <see cref="Kind"/>; addresses and prefixes are in their canonical text.
/// </summary>
internal sealed record JournalRecord(JournalKind Kind)
{
    public string? Network { get; init; }

    public string? Block { get; init; }

    /// <summary>Block, Spared: addresses of it that are not to be handed out.</summary>
    public string[]? Unusable { get; init; }

    public string? Address { get; init; }

    public string? Owner { get; init; }

    /// <summary>Window: addresses of the block, from its start, that may have been handed out.</summary>
    public int UpTo { get; init; }

    /// <summary>Confirmed: seconds for which the blocks are this node's from then on.</summary>
    public int Seconds { get; init; }

    /// <summary>Released, Booted, Confirmed: the boot of the host, and milliseconds of its clock.</summary>
    public string? Boot { get; init; }

    public long At { get; init; }
}

[JsonConverter(typeof(JsonStringEnumConverter<JournalKind>))]
internal enum JournalKind
{
    Block,

    /// <summary>More of what is spared of the block whose record follows.</summary>
    Spared,
    BlockGone,

    /// <summary>Nothing of a block is handed out until there is another record of <see cref="Block"/> of it.</summary>
    Suspended,
    Window,
    Allocated,
    Released,

    /// <summary>From here on everything is of this boot of the host, and nothing of it is missing.</summary>
    Booted,

    /// <summary>When controllers last said that the blocks are this node's.</summary>
    Confirmed,
}

[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(JournalRecord))]
internal sealed partial class JournalJson : JsonSerializerContext;

/// <summary>The journal is damaged in its middle, or its file cannot be used.</summary>
public sealed class JournalException(string message, Exception? cause = null) : Exception(message, cause);

/// <summary>
/// An append-only file of records, each with its length and the first four bytes of its
/// SHA-256 before it. An append is in the kernel's hands when it returns, so that
/// it outlives this process; <see cref="Flush"/> puts everything on the disk, so that it outlives the host. A record cut short at the end
/// of the file, by a crash of the host, is dropped when the file is opened. <see cref="Append"/> is for one thread at a time, the rest for any.
/// </summary>
internal sealed class AllocationJournal : IDisposable
{
    /// <summary>More than any record has: a longer rest that does not parse is damage and no torn end.</summary>
    private const int MostRecord = 4096;

    private const int HeaderLength = 8;

    private readonly string _path;

    /// <summary>Held by whoever waits for the disk; taken before the lock of those who append, never after it.</summary>
    private readonly Lock _disk = new();

    private FileStream _file;

    /// <summary>What was appended while the next file is written; null: none is.</summary>
    private MemoryStream? _meanwhile;

    /// <summary>The next file, from when it holds all that this one does until it has its name; both are written then.</summary>
    private FileStream? _next;

    /// <summary>A flush failed, after which the kernel may have dropped what it could not write, and says so only once; null: all is there.</summary>
    private JournalException? _lost;

    private AllocationJournal(string path, FileStream file)
    {
        _path = path;
        _file = file;
    }

    public long Length => _file.Length;

    /// <summary>Opens the file, makes it where there is none, and reads what it holds.</summary>
    /// <exception cref="JournalException">It is damaged, or another process has it.</exception>
    public static AllocationJournal Open(string path, out List<JournalRecord> records)
    {
        try
        {
            if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder) Directory.CreateDirectory(folder);
            FileStream file = OpenFile(path);
            byte[] content = new byte[file.Length];
            file.ReadExactly(content);
            records = Parse(content, path, out int sound);
            file.SetLength(sound);
            file.Position = sound;
            // What is read here counts as written, and whoever wrote it may not have got so far.
            file.Flush(flushToDisk: true);
            return new AllocationJournal(path, file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new JournalException($"the journal {path} cannot be opened: {error.Message}", error);
        }
    }

    /// <exception cref="JournalException">It cannot be written, or is too long; nothing of the record is left in the file.</exception>
    public void Append(JournalRecord record)
    {
        long before = _file.Position;
        long beforeInNext = _next?.Position ?? 0;
        try
        {
            byte[] encoded = Encode(record);
            _file.Write(encoded);
            _next?.Write(encoded);
            _meanwhile?.Write(encoded);
        }
        catch (IOException error)
        {
            // What was written of it goes with the next successful append's truncation, or as a torn end.
            _file.Position = before;
            if (_next is not null) _next.Position = beforeInNext;
            throw new JournalException($"the journal {_path} cannot be written: {error.Message}", error);
        }
    }

    /// <summary>
    /// Returns when everything appended before is on the disk. Not to be called with the lock of those who append, who would wait for the disk with it.
    /// </summary>
    /// <exception cref="JournalException">It is not; nor will it be until <see cref="Replace"/> wrote everything anew.</exception>
    public void Flush()
    {
        lock (_disk)
        {
            if (_lost is not null) throw _lost;
            FlushFile();
        }
    }

    /// <summary>
    /// Replaces the file, in one step, by one that holds only what is needed; on the disk when it returns. Appending goes on meanwhile.
    /// </summary>
    /// <param name="writing">Held by whoever appends.</param>
    /// <param name="records">Asked once, with the lock held: all that is needed of what was appended until then.</param>
    /// <exception cref="JournalException">It cannot be rewritten; the file that has the name is the one that is written.</exception>
    public void Replace(Lock writing, Func<IReadOnlyCollection<JournalRecord>> records)
    {
        IReadOnlyCollection<JournalRecord> needed;
        lock (writing)
        {
            needed = records();
            _meanwhile = new MemoryStream();
        }
        FileStream? next = null;
        try
        {
            File.Delete(NextPath);
            next = OpenFile(NextPath);
            foreach (JournalRecord record in needed) next.Write(Encode(record));
            next.Flush(flushToDisk: true);
            lock (_disk)
            {
                lock (writing)
                {
                    _meanwhile.WriteTo(next);
                    _meanwhile = null;
                    _next = next;
                }
                next.Flush(flushToDisk: true);
                File.Move(NextPath, _path, overwrite: true);
                FileStream old;
                lock (writing)
                {
                    old = _file;
                    (_file, _next) = (next, null);
                }
                old.Dispose();
                // Once more, now that it has its name: journaling file systems write the renaming with it.
                FlushFile();
                _lost = null;
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            lock (writing)
            {
                _meanwhile = null;
                _next = null;
            }
            if (next is not null && next != _file) next.Dispose();
            throw new JournalException($"the journal {_path} cannot be rewritten: {error.Message}", error);
        }
    }

    private void FlushFile()
    {
        try
        {
            RandomAccess.FlushToDisk(_file.SafeFileHandle);
        }
        catch (IOException error)
        {
            throw _lost = new JournalException($"the journal {_path} cannot be flushed: {error.Message}", error);
        }
    }

    private string NextPath => _path + ".next";

    public void Dispose() => _file.Dispose();

    internal static List<JournalRecord> Parse(ReadOnlySpan<byte> content, string path, out int sound)
    {
        var records = new List<JournalRecord>();
        sound = 0;
        while (content.Length - sound >= HeaderLength)
        {
            ReadOnlySpan<byte> rest = content[sound..];
            int length = BinaryPrimitives.ReadInt32LittleEndian(rest);
            if (length is <= 0 or > MostRecord || rest.Length < HeaderLength + length) break;
            ReadOnlySpan<byte> body = rest.Slice(HeaderLength, length);
            if (Checksum(body) != BinaryPrimitives.ReadUInt32LittleEndian(rest[4..])) break;
            records.Add(Decode(body, path));
            sound += HeaderLength + length;
        }
        if (content.Length - sound > MostRecord + HeaderLength && content[sound..].ContainsAnyExcept((byte)0))
            throw new JournalException($"the journal {path} is damaged at byte {sound}: drain the node, remove the file and start again");
        return records;
    }

    private static JournalRecord Decode(ReadOnlySpan<byte> body, string path)
    {
        try
        {
            return JsonSerializer.Deserialize(body, JournalJson.Default.JournalRecord)!;
        }
        catch (JsonException error)
        {
            throw new JournalException($"the journal {path} is of a newer version of overlayd: use that one, or drain the node, remove the file and start again", error);
        }
    }

    private static byte[] Encode(JournalRecord record)
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(record, JournalJson.Default.JournalRecord);
        if (body.Length > MostRecord)
            throw new JournalException($"the journal takes no record of {body.Length} bytes ({record.Kind} {record.Block}{record.Address}): use shorter names");
        byte[] whole = new byte[HeaderLength + body.Length];
        BinaryPrimitives.WriteInt32LittleEndian(whole, body.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(whole.AsSpan(4), Checksum(body));
        body.CopyTo(whole, HeaderLength);
        return whole;
    }

    private static uint Checksum(ReadOnlySpan<byte> body)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(body, digest);
        return BinaryPrimitives.ReadUInt32LittleEndian(digest);
    }

    private static FileStream OpenFile(string path) => new(path, new FileStreamOptions
    {
        Mode = FileMode.OpenOrCreate,
        Access = FileAccess.ReadWrite,
        Share = FileShare.Read,
        BufferSize = 0,
        UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
    });
}
