using System.Globalization;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Linux.Underlay;

namespace Overlay.Agent.Setup;

/// <summary>How super-packets leave, never <see cref="EgressMode.Auto"/>, and why.</summary>
internal sealed record EgressChoice(EgressMode Mode, string Reason);

/// <summary>The underlay of every queue, and the way super-packets leave by.</summary>
internal sealed class UnderlayQueues : IDisposable
{
    private static readonly EgressChoice Working = new(EgressMode.TunnelGso, "a super-packet sent through the kernel arrived");

    private static readonly EgressChoice Raw = new(EgressMode.Raw, "IP-in-IP packets leave one a message");

    private readonly List<TunnelInjector> _injectors = [];
    private readonly List<QueueUnderlay> _queues = [];

    private volatile EgressChoice _egress = new(EgressMode.UdpGso, "configured");

    private UnderlayQueues()
    {
    }

    /// <summary>How super-packets leave now. May change when <see cref="VerifyInjectors"/> is called.</summary>
    public EgressChoice Egress => _egress;

    public IReadOnlyList<QueueUnderlay> Queues => _queues;

    public IEnumerable<string> Refusals => _queues.SelectMany(queue => queue.Refusals).Distinct();

    /// <exception cref="StartRefusedException">Tunnel GSO is demanded and cannot be had.</exception>
    public static UnderlayQueues Open(NodePlan plan)
    {
        UnderlayOptions options = plan.Options.Underlay;
        var opened = new UnderlayQueues();
        try
        {
            bool usesUdp = plan.Options.Ports.Count > 0;
            if (!usesUdp) opened._egress = Raw;
            else if (plan.Options.Tunnel.Egress != EgressMode.UdpGso) opened.OpenInjectors(plan);
            for (int i = 0; i < options.Queues; i++)
            {
                UdpUnderlay? udp = !usesUdp ? null : new UdpUnderlay(new UdpUnderlayOptions
                {
                    Addresses = [.. plan.Underlay.Addresses],
                    Interface = plan.Underlay.Interface,
                    Ports = [.. plan.Options.Ports.Select(port => new TunnelPort((ushort)port.Port, port.Encapsulation))],
                    ZeroChecksums = ZeroChecksumsOf(plan.Options.Tunnel),
                    TimeToLive = plan.Underlay.TimeToLive,
                    SourcePortsOf = opened._queues.FirstOrDefault()?.Udp,
                    QueueCount = options.Queues,
                    Injector = opened._injectors.ElementAtOrDefault(i),
                });
                try
                {
                    RawIpUnderlay? raw = !plan.Options.UsesIpInIp ? null : new RawIpUnderlay(
                        [.. plan.Underlay.Addresses], plan.Underlay.Interface, plan.Underlay.TimeToLive, i, options.Queues);
                    opened._queues.Add(new QueueUnderlay(udp, raw));
                }
                catch
                {
                    udp?.Dispose();
                    throw;
                }
            }
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Sends a probe through each injector, which a packet filter may block at any time, and chooses again. Takes up to two seconds each.
    /// </summary>
    /// <returns>True when the choice changed.</returns>
    public bool VerifyInjectors()
    {
        if (_injectors.Count == 0) return false;
        EgressChoice choice = _injectors.Select(injector => injector.Verify()).FirstOrDefault(each => each is not null) is { } refusal
            ? Blocked(refusal)
            : Working;
        if (choice == _egress) return false;
        _egress = choice;
        return true;
    }

    public void Dispose()
    {
        for (int i = _queues.Count - 1; i >= 0; i--) _queues[i].Dispose();
        CloseInjectors();
    }

    private static EgressChoice Blocked(string refusal) => new(EgressMode.UdpGso, $"no tunnel-gso: {refusal}");

    private static ZeroChecksums ZeroChecksumsOf(TunnelOptions tunnel)
    {
        ZeroChecksums zero = tunnel.Checksum ? ZeroChecksums.None : ZeroChecksums.SendIpv4;
        foreach (Located<ChecksumDirection> direction in tunnel.ZeroChecksumIPv6)
            zero |= direction.Value == ChecksumDirection.Send ? ZeroChecksums.SendIpv6 : ZeroChecksums.ReceiveIpv6;
        return zero;
    }

    private void OpenInjectors(NodePlan plan)
    {
        TunnelOptions tunnel = plan.Options.Tunnel;
        string? refusal = plan.Underlay.AddressV4 is null ? "the underlay has no IPv4 address"
            : plan.Options.Underlay.Ttl.Value == byte.MaxValue ? "'underlay: ttl: 255', and tunnel super-packets are forwarded once on this host"
            : tunnel.Checksum ? null
            : "'tunnel: checksum: false', and tunnel super-packets have checksums";
        for (int i = 0; i < plan.Options.Underlay.Queues && refusal is null; i++)
        {
            string name = string.Create(CultureInfo.InvariantCulture, $"ovl{plan.Options.Underlay.Port.Value}q{i}");
            if (TunnelInjector.TryOpen(name, plan.Underlay.AddressV4!, out TunnelInjector? injector, out refusal)) _injectors.Add(injector);
        }
        if (refusal is null)
        {
            _egress = Working;
            return;
        }
        if (tunnel.Egress == EgressMode.TunnelGso)
            throw new StartRefusedException($"'tunnel: egress: tunnel-gso' cannot be had: {refusal}", "write auto or udp-gso");
        CloseInjectors();
        _egress = Blocked(refusal);
    }

    private void CloseInjectors()
    {
        for (int i = _injectors.Count - 1; i >= 0; i--) _injectors[i].Dispose();
        _injectors.Clear();
    }
}
