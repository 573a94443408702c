using Overlay.Control.Ipam;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Rpc;
using Overlay.Rpc.Control;
using Overlay.Rpc.Security;

namespace Overlay.Controller;

/// <summary>Judges the controller: what is wrong with it and with the state, and what to do about it. Any thread may ask.</summary>
/// <param name="tls">Null where only the Unix socket is served.</param>
/// <param name="troubles">With the store.</param>
internal sealed class ControllerHealth(StateCache cache, TlsFiles? tls, StoreTroubles troubles)
{
    /// <summary>How long before its end a certificate is complained of.</summary>
    private static readonly TimeSpan CertificateNotice = TimeSpan.FromDays(14);

    /// <summary>How long before its end a pool is complained of.</summary>
    private const double PoolNoticeDays = 7;

    private volatile bool _serves;

    /// <summary>From when nodes are served, or no more.</summary>
    public void Serves(bool isServing) => _serves = isServing;

    /// <summary>Seconds until the own certificate expires; infinite where there is none.</summary>
    public double CertificateSeconds => tls is null ? double.PositiveInfinity : (tls.Current.Certificate.NotAfter.ToUniversalTime() - DateTime.UtcNow).TotalSeconds;

    public IReadOnlyList<PoolUsage> Pools =>
        [.. cache.Networks.SelectMany(network => PoolReport.Of(network, cache.Blocks(network.Name), DateTimeOffset.UtcNow))];

    public HealthDocument Report()
    {
        var findings = new List<HealthFinding>();
        if (!_serves)
            findings.Add(new("start", HealthSeverity.Failing, "nodes are not served: the state is not known yet, or the controller stops", "look whether the store is reached: its errors are in the log"));
        foreach ((string trouble, string problem) in troubles.All)
            findings.Add(new("store", trouble == StoreTroubles.Follow ? HealthSeverity.Failing : HealthSeverity.Degraded, $"{trouble}: {problem}", "nodes go on with what they know; see docs/control-plane.md for stores"));
        if (CertificateSeconds < CertificateNotice.TotalSeconds)
            findings.Add(new("certificate", HealthSeverity.Degraded, $"the controller's certificate expires on {tls!.Current.Certificate.NotAfter.ToUniversalTime():yyyy-MM-dd HH:mm} UTC", "issue it again ('overlay pki controller') and copy it; no restart is needed"));
        foreach (PoolUsage pool in Pools)
        {
            if (pool.Free == "0")
                findings.Add(new("pool", HealthSeverity.Degraded, $"no block of pool {pool.Prefix} of network '{pool.Network}' is free", $"add a pool ('overlay network add-pool {pool.Network}')"));
            else if (pool.DaysLeft is >= 0 and < PoolNoticeDays)
                findings.Add(new("pool", HealthSeverity.Degraded, FormattableString.Invariant($"pool {pool.Prefix} of network '{pool.Network}' lasts {pool.DaysLeft:0.0} days at this pace"), $"add a pool ('overlay network add-pool {pool.Network}')"));
        }
        foreach (NodeDocument lost in cache.Nodes.Where(node => node.LostSince is not null))
            findings.Add(new("node", HealthSeverity.Degraded, $"node '{lost.Name}' was not heard of since {lost.LostSince:yyyy-MM-dd HH:mm:ss} UTC", $"see its overlayd, or 'overlay node remove {lost.Name}'"));
        findings = [.. findings.OrderBy(finding => finding.Severity == HealthSeverity.Failing ? 0 : 1)];
        return new HealthDocument(
            "overlay-controller", findings.Count == 0 ? HealthDocument.Healthy : findings[0].Severity, true, findings.All(finding => finding.Severity != HealthSeverity.Failing), findings, []);
    }
}
