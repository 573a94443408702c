using System.Globalization;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Linux.Underlay;

namespace Overlay.Agent.Setup;

/// <summary>The underlay of every queue, and the way super-packets leave by, chosen once at start.</summary>
internal sealed class UnderlayQueues : IDisposable
{
    private readonly List<TunnelInjector> _injectors = [];
    private readonly List<UdpUnderlay> _queues = [];

    private UnderlayQueues(EgressMode mode, string reason)
    {
        Mode = mode;
        ModeReason = reason;
    }

    /// <summary>Never <see cref="EgressMode.Auto"/>.</summary>
    public EgressMode Mode { get; private set; }

    /// <summary>Why that mode, for the log and status.</summary>
    public string ModeReason { get; private set; }

    public IReadOnlyList<UdpUnderlay> Queues => _queues;

    public IEnumerable<string> Refusals => _queues.SelectMany(queue => queue.Refusals).Distinct();

    public IEnumerable<string> ChangedSysctls => _injectors.SelectMany(injector => injector.Changes)
        .Select(change => $"{change.Key}: {change.Before} -> {change.After}");

    /// <exception cref="StartRefusedException">Tunnel GSO is demanded and cannot be had.</exception>
    public static UnderlayQueues Open(NodePlan plan)
    {
        UnderlayOptions options = plan.Options.Underlay;
        var opened = new UnderlayQueues(EgressMode.UdpGso, "configured");
        try
        {
            if (plan.Options.Tunnel.Egress != EgressMode.UdpGso) opened.OpenInjectors(plan);
            for (int i = 0; i < options.Queues; i++)
            {
                opened._queues.Add(new UdpUnderlay(new UdpUnderlayOptions
                {
                    Addresses = [.. plan.Underlay.Addresses],
                    Interface = plan.Underlay.Interface,
                    Port = (ushort)options.Port.Value,
                    TimeToLive = (byte)options.Ttl.Value,
                    QueueCount = options.Queues,
                    Injector = opened._injectors.ElementAtOrDefault(i),
                }));
            }
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        _queues.ForEach(queue => queue.Dispose());
        CloseInjectors();
    }

    private void OpenInjectors(NodePlan plan)
    {
        TunnelOptions tunnel = plan.Options.Tunnel;
        string? refusal = plan.Underlay.AddressV4 is null ? "the underlay has no IPv4 address" : null;
        for (int i = 0; i < plan.Options.Underlay.Queues && refusal is null; i++)
        {
            var options = new TunnelInjectorOptions
            {
                Name = string.Create(CultureInfo.InvariantCulture, $"ovl{plan.Options.Underlay.Port.Value}q{i}"),
                MayDisableReversePathFilter = tunnel.AllowSysctl,
            };
            if (TunnelInjector.TryOpen(options, out TunnelInjector? injector, out refusal)) _injectors.Add(injector);
        }
        if (refusal is null)
        {
            Mode = EgressMode.TunnelGso;
            ModeReason = tunnel.Egress == EgressMode.Auto ? "the kernel and the host's settings allow it" : "configured";
            return;
        }
        if (tunnel.Egress == EgressMode.TunnelGso)
            throw new StartRefusedException($"'tunnel: egress: tunnel-gso' cannot be had: {refusal}", "write auto or udp-gso");
        CloseInjectors();
        ModeReason = $"no tunnel-gso: {refusal}";
    }

    private void CloseInjectors()
    {
        for (int i = _injectors.Count - 1; i >= 0; i--) _injectors[i].Dispose();
        _injectors.Clear();
    }
}
