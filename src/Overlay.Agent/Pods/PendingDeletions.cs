using Microsoft.Extensions.Logging;
using Overlay.Agent.Pods.Cni;

namespace Overlay.Agent.Pods;

/// <summary>A file that the plugin left.</summary>
/// <param name="Call">Null: it cannot be understood, and goes.</param>
internal sealed record PendingDeletion(string File, CniCall? Call);

/// <summary>Deletions that the plugin left on disk while the daemon did not answer, in the order in which they came.</summary>
internal sealed class PendingDeletions
{
    private const string Suffix = ".request";

    private readonly string _folder;
    private readonly ILogger _log;

    public PendingDeletions(string folder, ILogger log)
    {
        _folder = folder;
        _log = log;
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    public IEnumerable<PendingDeletion> Read()
    {
        // Whoever cleared it away cleared the deletions away; the plugin makes it anew.
        if (!Directory.Exists(_folder)) yield break;
        string[] files = Directory.GetFiles(_folder, $"*{Suffix}");
        // Names begin with the time.
        Array.Sort(files, StringComparer.Ordinal);
        foreach (string file in files) yield return new PendingDeletion(file, Understand(file));
    }

    public static void Done(PendingDeletion pending) => File.Delete(pending.File);

    private CniCall? Understand(string file)
    {
        try
        {
            if (CniMessage.Read(File.ReadAllBytes(file)) is { } message && CniCall.Read(message) is { Command: CniCommand.Del } call) return call;
            _log.LogError("{File} is no deletion that the plugin left; it is removed", file);
        }
        catch (CniException exception)
        {
            _log.LogError("{File} is no deletion that can be done: {Problem}; it is removed", file, exception.Message);
        }
        return null;
    }
}
