namespace Overlay.Rpc;

/// <summary>What <c>GET /v1/health</c> of overlayd answers.</summary>
/// <param name="Node">Name of the node.</param>
/// <param name="Status">The worst severity of <paramref name="Findings"/>, or <see cref="Healthy"/>.</param>
/// <param name="Live">False: the daemon does not work and has to be restarted.</param>
/// <param name="Ready">True while packets are forwarded; false: no pods should be sent here.</param>
/// <param name="Findings">What is wrong, the worst first.</param>
/// <param name="SelfTests">What was tried at start, and how it went.</param>
public sealed record HealthDocument(
    string Node, string Status, bool Live, bool Ready, IReadOnlyList<HealthFinding> Findings, IReadOnlyList<SelfTestResult> SelfTests)
{
    public const string Healthy = "healthy";
}

/// <param name="Check">What was looked at: a stable word for scripts.</param>
/// <param name="Severity">One of <see cref="HealthSeverity.All"/>.</param>
/// <param name="Problem">What is wrong, with names and numbers.</param>
/// <param name="Remedy">What to do about it.</param>
public sealed record HealthFinding(string Check, string Severity, string Problem, string Remedy);

/// <summary>How bad a finding is.</summary>
public static class HealthSeverity
{
    /// <summary>Nothing, or not all, is forwarded.</summary>
    public const string Failing = "failing";

    /// <summary>Packets are forwarded, but slower, or not all of them, or not for long.</summary>
    public const string Degraded = "degraded";

    /// <summary>The worst first.</summary>
    public static IReadOnlyList<string> All { get; } = [Failing, Degraded];
}

/// <param name="Name">What was tried.</param>
/// <param name="Passed">Null: it could not be tried here.</param>
/// <param name="Outcome">What was found, and what was switched off for it.</param>
public sealed record SelfTestResult(string Name, bool? Passed, string Outcome);
