using System.Globalization;
using System.IO.Pipelines;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Health;
using Overlay.Dataplane.Observation;
using Overlay.Rpc;

namespace Overlay.Agent.Capture;

/// <summary>Notices what goes wrong with the node, and leaves the latest packets, and those dropped, in a file.</summary>
/// <param name="folder">Of the files; null: none are left.</param>
internal sealed class AlarmCaptures(HealthReporter health, CaptureHub hub, string? folder, ILogger log)
{
    private const int MostFiles = 16;
    private const string Prefix = "alarm-";
    private const string Suffix = ".pcapng";

    private HashSet<string> _known = [];

    /// <summary>Looks at the node's health; called now and then by one thread.</summary>
    public void Look()
    {
        IReadOnlyList<HealthFinding> findings = health.Report().Findings;
        // A figure in a problem's text makes no other problem of it.
        HealthFinding[] fresh = [.. findings.Where(finding => !_known.Contains(KeyOf(finding)))];
        _known = [.. findings.Select(KeyOf)];
        if (fresh.Length == 0) return;
        // The others are told by those who find them.
        foreach (HealthFinding finding in fresh.Where(finding => finding.Check is "drops" or "addresses")) log.LogWarning("{Severity}: {Problem}; {Remedy}", finding.Severity, finding.Problem, finding.Remedy);
        if (folder is not null) Save(fresh[0].Check);
    }

    private static string KeyOf(HealthFinding finding) => $"{finding.Check} {string.Concat(finding.Problem.Where(letter => !char.IsAsciiDigit(letter) && letter is not (',' or '.')))}";

    private void Save(string check)
    {
        string path = Path.Combine(folder!, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{DateTime.UtcNow:yyyyMMdd'T'HHmmss'Z'}-{check}{Suffix}"));
        try
        {
            Directory.CreateDirectory(folder!, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            using (var file = new FileStream(path, FileMode.Create, FileAccess.Write))
            {
                var output = PipeWriter.Create(file);
                hub.WriteRingAsync(output, new CaptureRequest(new CaptureFilter(), null, CapturedPackets.MostSnapLength, Segmented: false, FromRing: true), CancellationToken.None)
                    .GetAwaiter().GetResult();
                output.Complete();
            }
            log.LogWarning("the latest packets, and those dropped, are in {File}", path);
            foreach (string old in Directory.GetFiles(folder!, $"{Prefix}*{Suffix}").Order(StringComparer.Ordinal).SkipLast(MostFiles)) File.Delete(old);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            log.LogWarning("the latest packets cannot be kept in {File}: {Problem}; check 'capture: alarms:'", path, exception.Message);
        }
    }
}
