namespace Overlay.Linux.Tests.Support;

/// <summary>A test of UDP tunnel segmentation behind a TAP device; skipped, saying so, where the kernel has none.</summary>
internal sealed class TunnelGsoFactAttribute : FactAttribute
{
    public TunnelGsoFactAttribute() => Skip = Lacking;

    /// <summary>Why such a test cannot run here; null where it can.</summary>
    public static string? Lacking => Environment.OSVersion.Version >= new Version(6, 17)
        ? null
        : $"Linux {Environment.OSVersion.Version} segments no UDP tunnels behind a TAP device; 6.17 does";
}

/// <inheritdoc cref="TunnelGsoFactAttribute"/>
internal sealed class TunnelGsoTheoryAttribute : TheoryAttribute
{
    public TunnelGsoTheoryAttribute() => Skip = TunnelGsoFactAttribute.Lacking;
}
