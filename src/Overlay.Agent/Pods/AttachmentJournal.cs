using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;

namespace Overlay.Agent.Pods;

/// <summary>
/// The attachments of this node, a file each. A file is in the kernel's hands when a write returns, so it outlives this process; it need not
/// outlive the host, whose namespaces and interfaces end with it. Written by one thread, read by any. A record is written in place and by one
/// call, over one of the same length, so that the folder does not change with it.
/// </summary>
internal sealed class AttachmentJournal
{
    /// <summary>Pods that are gone whose addresses are remembered.</summary>
    private const int MostRemembered = 4096;

    private const string Suffix = ".json";

    /// <summary>Of each file, filled up with blanks: one page, which the kernel takes whole or not at all, whenever the process is killed.</summary>
    private const int RecordBytes = 4096;

    private readonly string _attachments;
    private readonly string _remembered;
    private readonly ConcurrentDictionary<string, Attachment> _byOwner = [];
    private readonly Dictionary<string, List<string>> _ownersByNamespace = [];

    private readonly List<Attachment> _ended = [];

    /// <summary>Reads what an earlier process left.</summary>
    /// <exception cref="StartRefusedException">The folder cannot be used.</exception>
    public AttachmentJournal(string folder, string boot, ILogger log)
    {
        _attachments = Path.Combine(folder, "attachments");
        _remembered = Path.Combine(folder, "remembered");
        try
        {
            Directory.CreateDirectory(_attachments, OwnerOnly);
            Directory.CreateDirectory(_remembered, OwnerOnly);
            foreach (string file in Directory.GetFiles(_attachments)) Load(file, boot, log);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StartRefusedException($"the pods' state in {folder} cannot be used: {exception.Message}", "make it writable, or choose another 'pods: state:'", exception);
        }
    }

    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>What earlier boots of the host left records of, and nothing else.</summary>
    public IReadOnlyList<Attachment> Ended => _ended;

    /// <summary>At this moment.</summary>
    public ICollection<Attachment> All => _byOwner.Values;

    public Attachment? Find(string owner) => _byOwner.GetValueOrDefault(owner);

    /// <summary>The attachments of one pod. For the thread that writes.</summary>
    /// <param name="namespaceId">As <see cref="Attachment.NamespaceId"/>.</param>
    public IEnumerable<Attachment> OfNamespace(string namespaceId) =>
        _ownersByNamespace.TryGetValue(namespaceId, out List<string>? owners) ? owners.Select(owner => _byOwner[owner]) : [];

    /// <exception cref="IOException">It cannot be written; what was there before stands.</exception>
    public void Write(Attachment attachment)
    {
        byte[] text = JsonSerializer.SerializeToUtf8Bytes(attachment, AttachmentJson.Default.Attachment);
        if (text.Length > RecordBytes) throw new IOException($"the record of {attachment.Label} has {text.Length} bytes, of which {RecordBytes} are kept: its names are too long");
        byte[] record = new byte[RecordBytes];
        record.AsSpan(text.Length).Fill((byte)' ');
        text.CopyTo(record, 0);
        using (SafeFileHandle file = File.OpenHandle(FileOf(attachment), FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite)) RandomAccess.Write(file, record, 0);
        Keep(attachment);
    }

    /// <summary>Removes an attachment, and remembers its addresses for the pod's next one.</summary>
    public void Remove(Attachment attachment)
    {
        string file = FileOf(attachment);
        if (attachment.Identity is { } identity && attachment.Addresses.Count > 0)
        {
            string temporary = $"{file}.new";
            File.WriteAllBytes(temporary, JsonSerializer.SerializeToUtf8Bytes(
                new RememberedPod(attachment.Owner, [.. attachment.Addresses.Select(own => own.Parsed.Address.ToString())]), AttachmentJson.Default.RememberedPod));
            File.Move(temporary, RememberedOf(identity), overwrite: true);
        }
        File.Delete(file);
        Forget(attachment.Owner);
    }

    /// <summary>What a pod had last; null: nothing is known.</summary>
    public RememberedPod? Remembered(string identity)
    {
        string file = RememberedOf(identity);
        if (!File.Exists(file)) return null;
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(file), AttachmentJson.Default.RememberedPod);
        }
        catch (JsonException)
        {
            // Cut short by a crash of the host.
            File.Delete(file);
            return null;
        }
    }

    /// <summary>Files among the records that are none of an attachment.</summary>
    public IEnumerable<string> Strays()
    {
        HashSet<string> known = [.. _byOwner.Values.Select(FileOf)];
        return Directory.GetFiles(_attachments).Where(file => !known.Contains(file));
    }

    /// <summary>Forgets the pods that have been gone longest, beyond what is kept.</summary>
    public void Prune()
    {
        FileInfo[] files = new DirectoryInfo(_remembered).GetFiles();
        if (files.Length <= MostRemembered) return;
        foreach (FileInfo old in files.OrderByDescending(file => file.LastWriteTimeUtc).Skip(MostRemembered)) old.Delete();
    }

    private void Load(string file, string boot, ILogger log)
    {
        if (!file.EndsWith(Suffix, StringComparison.Ordinal))
        {
            File.Delete(file);
            return;
        }
        try
        {
            if (JsonSerializer.Deserialize(File.ReadAllBytes(file), AttachmentJson.Default.Attachment) is { } attachment)
            {
                if (attachment.Boot == boot) Keep(attachment);
                else _ended.Add(attachment);
                return;
            }
        }
        catch (JsonException)
        {
            // Told below.
        }
        // Empty, this process was killed before it made anything. Otherwise the host crashed, and nothing is left of it.
        if (new FileInfo(file).Length > 0) log.LogWarning("{File} was cut short by a crash of the host; it is removed", file);
        File.Delete(file);
    }

    private void Keep(Attachment attachment)
    {
        if (_byOwner.TryGetValue(attachment.Owner, out Attachment? before)) Unlist(before);
        _byOwner[attachment.Owner] = attachment;
        if (!_ownersByNamespace.TryGetValue(attachment.NamespaceId, out List<string>? owners)) _ownersByNamespace.Add(attachment.NamespaceId, owners = []);
        owners.Add(attachment.Owner);
    }

    private void Forget(string owner)
    {
        if (_byOwner.TryRemove(owner, out Attachment? gone)) Unlist(gone);
    }

    private void Unlist(Attachment attachment)
    {
        if (!_ownersByNamespace.TryGetValue(attachment.NamespaceId, out List<string>? owners)) return;
        owners.Remove(attachment.Owner);
        if (owners.Count == 0) _ownersByNamespace.Remove(attachment.NamespaceId);
    }

    private string FileOf(Attachment attachment) => Path.Combine(_attachments, attachment.HostInterface + Suffix);

    private string RememberedOf(string identity) => Path.Combine(_remembered, Attachment.Digest(identity) + Suffix);
}
