using Microsoft.Extensions.Logging;

namespace Overlay.Csi;

/// <summary>Tells the log of each step that changes something, before it is taken.</summary>
internal sealed class Steps(ILogger log)
{
    public void Next(string volume, string step) => log.LogDebug("volume {Volume}: {Step}", volume, step);

    /// <summary>What an administrator may have to see to; nothing was lost by it.</summary>
    public void Warn(string volume, string problem) => log.LogWarning("volume {Volume}: {Problem}", volume, problem);
}
