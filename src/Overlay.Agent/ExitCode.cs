namespace Overlay.Agent;

internal enum ExitCode
{
    Ok = 0,

    /// <summary>The host or the kernel does not allow what is configured, or a worker died.</summary>
    Failed = 1,

    /// <summary>The configuration or the command line is refused.</summary>
    ConfigurationRefused = 2,
}
