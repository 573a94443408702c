using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Dataplane.Egress;
using Overlay.Linux;
using Overlay.Linux.Underlay;

namespace Overlay.Agent.Setup;

/// <summary>How super-packets leave, and why.</summary>
/// <param name="Mode">Never <see cref="EgressMode.Auto"/>.</param>
/// <param name="Reason">For the log and status.</param>
/// <param name="Families">Outer families in which they leave by tunnel GSO; in the others by UDP_SEGMENT.</param>
internal sealed record EgressChoice(EgressMode Mode, string Reason, TunnelOffload Families = TunnelOffload.None);

/// <summary>The underlay of every queue, and the way super-packets leave by.</summary>
internal sealed class UnderlayQueues : IDisposable
{
    private static readonly EgressChoice Raw = new(EgressMode.Raw, "IP-in-IP packets leave one a message");

    private readonly List<TunnelInjector> _injectors = [];

    /// <summary>What the configuration rules out.</summary>
    private readonly List<string> _exclusions = [];
    private readonly List<QueueUnderlay> _queues = [];

    private readonly UdpOffloads _offloads;
    private volatile EgressChoice _egress = new(EgressMode.UdpGso, "configured");

    private UnderlayQueues(UdpOffloads offloads) => _offloads = offloads;

    /// <summary>How super-packets leave now. May change when <see cref="VerifyInjectors"/> is called.</summary>
    public EgressChoice Egress => _egress;

    public IReadOnlyList<QueueUnderlay> Queues => _queues;

    public IEnumerable<string> Refusals => _queues.SelectMany(queue => queue.Refusals).Distinct();

    /// <param name="offloads">Those of the kernel that are used.</param>
    /// <exception cref="StartRefusedException">Tunnel GSO is demanded and cannot be had.</exception>
    public static UnderlayQueues Open(NodePlan plan, UdpOffloads offloads)
    {
        UnderlayOptions options = plan.Options.Underlay;
        var opened = new UnderlayQueues(offloads);
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
                    SendsTrains = offloads.Sends,
                    ReceivesTrains = offloads.Receives,
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

    /// <summary>True where packets are injected, so that somebody has to <see cref="VerifyInjectors"/> from time to time.</summary>
    public bool Injects => _injectors.Count > 0;

    /// <summary>
    /// Sends a probe through each injector, which a packet filter may block at any time, and chooses again. Takes up to two seconds each. One
    /// thread at a time may call it.
    /// </summary>
    /// <param name="stop">Ends the wait at once, without a choice.</param>
    /// <returns>True when the choice changed.</returns>
    public bool VerifyInjectors(CancellationToken stop)
    {
        var refusals = new List<string>();
        foreach (TunnelInjector injector in _injectors)
        {
            if (injector.Verify(stop) is { } refusal) refusals.Add(refusal);
        }
        EgressChoice choice = Choice(Missing(refusals));
        if (stop.IsCancellationRequested || choice == _egress) return false;
        _egress = choice;
        return true;
    }

    /// <summary>A way to send for another thread than the workers', from the same source ports. To be disposed before this.</summary>
    public QueueUnderlay OpenSender(NodePlan plan)
    {
        UdpUnderlay? udp = _queues[0].Udp is not { } first ? null : new UdpUnderlay(new UdpUnderlayOptions
        {
            Addresses = [.. plan.Underlay.Addresses],
            Interface = plan.Underlay.Interface,
            Ports = [],
            ZeroChecksums = ZeroChecksumsOf(plan.Options.Tunnel),
            SourcePortsOf = first,
            SendsTrains = _offloads.Sends,
        });
        try
        {
            return new QueueUnderlay(udp, !plan.Options.UsesIpInIp ? null : new RawIpUnderlay(
                [.. plan.Underlay.Addresses], plan.Underlay.Interface, plan.Underlay.TimeToLive, queue: 0, queueCount: 1, sendsOnly: true));
        }
        catch
        {
            udp?.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        for (int i = _queues.Count - 1; i >= 0; i--) _queues[i].Dispose();
        CloseInjectors();
    }

    private static ZeroChecksums ZeroChecksumsOf(TunnelOptions tunnel)
    {
        ZeroChecksums zero = tunnel.Checksum ? ZeroChecksums.None : ZeroChecksums.SendIpv4;
        foreach (Located<ChecksumDirection> direction in tunnel.ZeroChecksumIPv6)
            zero |= direction.Value == ChecksumDirection.Send ? ZeroChecksums.SendIpv6 : ZeroChecksums.ReceiveIpv6;
        return zero;
    }

    /// <summary>What all injectors carry.</summary>
    /// <param name="missing">Why not more; empty where nothing is missing.</param>
    private EgressChoice Choice(string missing)
    {
        TunnelOffload families = _injectors.Count == 0
            ? TunnelOffload.None
            : _injectors.Aggregate(TunnelOffload.Ipv4 | TunnelOffload.Ipv6, (common, injector) => common & injector.Families);
        if (families == TunnelOffload.None) return new EgressChoice(EgressMode.UdpGso, $"no tunnel-gso: {missing}");
        const string Arrived = "a super-packet sent through the kernel arrived";
        string reason = missing.Length == 0 ? Arrived
            : $"{Arrived} over {(families == TunnelOffload.Ipv4 ? "IPv4" : "IPv6")}; the other family leaves by udp-gso: {missing}";
        return new EgressChoice(EgressMode.TunnelGso, reason, families);
    }

    private string Missing(IEnumerable<string> refusals) => string.Join("; ", _exclusions.Concat(refusals).Distinct());

    private void OpenInjectors(NodePlan plan)
    {
        var refusals = new List<string>();
        IPAddress[] locals = [.. plan.Underlay.Addresses.Where(local => IsInjectable(local, plan))];
        for (int i = 0; i < plan.Options.Underlay.Queues && locals.Length > 0; i++)
        {
            TunnelInjector? injector = OpenInjector(plan.Options.Underlay.Port.Value, i, locals, out string? refusal);
            if (refusal is not null) refusals.Add(refusal);
            if (injector is null)
            {
                CloseInjectors();
                break;
            }
            _injectors.Add(injector);
        }
        string missing = Missing(refusals);
        _egress = Choice(missing);
        if (_egress.Mode == EgressMode.TunnelGso) return;
        CloseInjectors();
        if (plan.Options.Tunnel.Egress == EgressMode.TunnelGso)
            throw new StartRefusedException($"'tunnel: egress: tunnel-gso' cannot be had: {missing}", "write auto or udp-gso");
    }

    private static TunnelInjector? OpenInjector(int port, int queue, IPAddress[] locals, out string? refusal)
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"ovl{port}q{queue}");
        try
        {
            TunnelInjector.TryOpen(name, locals, out TunnelInjector? injector, out refusal);
            return injector;
        }
        catch (LinuxException exception) when (exception.IsInUse)
        {
            refusal = $"another overlayd of this host has 'underlay: port: {port}' and with it the device {name}; stop it or choose another port";
            return null;
        }
    }

    /// <summary>Whether super-packets can have this outer source; <see cref="_exclusions"/> tells why not.</summary>
    private bool IsInjectable(IPAddress local, NodePlan plan)
    {
        bool isIpv4 = local.AddressFamily == AddressFamily.InterNetwork;
        string? exclusion = plan.Options.Underlay.Ttl.Value == byte.MaxValue
            ? "'underlay: ttl: 255', and tunnel super-packets are forwarded once on this host"
            : isIpv4 && !plan.Options.Tunnel.Checksum ? "'tunnel: checksum: false', and tunnel super-packets have checksums"
            : !isIpv4 && ZeroChecksumsOf(plan.Options.Tunnel).HasFlag(ZeroChecksums.SendIpv6)
                ? "'tunnel: zeroChecksumIPv6: [send]', and tunnel super-packets have checksums"
            : local.IsIPv6LinkLocal ? $"the underlay's address {local} is link-local, and the kernel forwards nothing from such" : null;
        if (exclusion is null) return true;
        if (!_exclusions.Contains(exclusion)) _exclusions.Add(exclusion);
        return false;
    }

    private void CloseInjectors()
    {
        for (int i = _injectors.Count - 1; i >= 0; i--) _injectors[i].Dispose();
        _injectors.Clear();
    }
}
