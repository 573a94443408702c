using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Configuration;
using Overlay.Linux;
using Overlay.Linux.Netfilter;
using Overlay.Wire;

namespace Overlay.Agent.Pods;

/// <summary>What a pod's end on the host may send from: an address and the interface that it has to come by.</summary>
internal readonly record struct PodSource(IPAddress Address, string HostInterface);

/// <summary>
/// The node's own table of nftables: pods send from their own addresses only, and what leaves the overlay takes the node's. No table of
/// others is touched. It stays when the daemon ends, as the pods do.
/// </summary>
internal sealed class PodFilter : IDisposable
{
    public const string Table = "overlay-pods";

    private const string Sources4 = "sources4";
    private const string Sources6 = "sources6";
    private const uint Sources4Id = 1;
    private const uint Sources6Id = 2;

    /// <summary>Before connection tracking, so that what is dropped costs no entry.</summary>
    private const int RawPriority = -300;

    private const int SourceNatPriority = 100;
    private const ushort Ipv4 = 0x0800;
    private const ushort Arp = 0x0806;
    private const ushort Ipv6 = 0x86dd;

    private static readonly IPNetwork LinkLocalV6 = IPNetwork.Parse("fe80::/10");
    private static readonly IPNetwork Unspecified6 = IPNetwork.Parse("::/128");

    private readonly NfTables _tables = new();
    private readonly PodsOptions _options;
    private readonly ILogger _log;
    private readonly HashSet<PodSource> _sources = [];
    private List<string> _rules = [];
    private int _written;
    private uint _generation;
    private Masquerade _masquerade;

    /// <param name="settings">Of pods: what leaves by the devices of segments keeps its source, and no pod sends what looks tunnelled by this node.</param>
    /// <param name="pods">Prefixes of pods: what they send each other keeps its source too.</param>
    /// <param name="log">For what others changed.</param>
    public PodFilter(PodSettings settings, IReadOnlyList<IPNetwork> pods, ILogger log)
    {
        _options = settings.Options;
        _log = log;
        _masquerade = new Masquerade(settings, pods);
    }

    private sealed class Masquerade(PodSettings settings, IReadOnlyList<IPNetwork> pods)
    {
        public bool IsOn { get; } = settings.Options.Masquerade;

        public IReadOnlyList<IPNetwork> Exclude { get; } = [.. settings.Options.MasqueradeExclude.Select(each => each.Value)];

        public IReadOnlyList<string> Devices { get; } = settings.Devices;

        public IReadOnlyList<IPNetwork> Pods { get; } = pods;

        public IReadOnlyList<ushort> TunnelPorts { get; } = settings.TunnelPorts;

        public IReadOnlyList<byte> TunnelProtocols { get; } = settings.TakesIpInIp ? [IpProtocols.Ipv4InIp, IpProtocols.Ipv6InIp] : [];

        public bool IsAs(Masquerade other) =>
            IsOn == other.IsOn && Exclude.SequenceEqual(other.Exclude) && Devices.SequenceEqual(other.Devices) && Pods.SequenceEqual(other.Pods)
            && TunnelPorts.SequenceEqual(other.TunnelPorts) && TunnelProtocols.SequenceEqual(other.TunnelProtocols);
    }

    private NfFamily SourceFamily => _options.Bridge is null ? NfFamily.Inet : NfFamily.Bridge;

    /// <summary>Puts the whole table in force, at one instant.</summary>
    /// <param name="sources">All that pods may send from.</param>
    /// <exception cref="LinuxException">The kernel refuses it; what was in force stays.</exception>
    public void Replace(IEnumerable<PodSource> sources)
    {
        PodSource[] all = [.. sources];
        NfTransaction inet = new NfTransaction(NfFamily.Inet, Table).ReplaceTable();
        int written = 0;
        if (SourceFamily == NfFamily.Bridge)
        {
            NfTransaction bridge = new NfTransaction(NfFamily.Bridge, Table).ReplaceTable();
            AddSources(bridge, all);
            _tables.Commit(bridge);
            written += bridge.Rules;
        }
        else
        {
            AddSources(inet, all);
        }
        AddMasquerade(inet);
        _tables.Commit(inet);
        _sources.Clear();
        _sources.UnionWith(all);
        // Who flushes it from here on makes another number; who did before this, another count.
        _generation = _tables.Generation;
        _rules = Rules();
        _written = written + inet.Rules;
        if (_rules.Count != _written) _generation--;
    }

    /// <summary>Takes over what is to be masqueraded now; as the constructor.</summary>
    public void Configure(PodSettings settings, IReadOnlyList<IPNetwork> pods)
    {
        var changed = new Masquerade(settings, pods);
        if (changed.IsAs(_masquerade)) return;
        Masquerade before = _masquerade;
        _masquerade = changed;
        try
        {
            Replace([.. _sources]);
        }
        catch
        {
            _masquerade = before;
            throw;
        }
    }

    public void Allow(IEnumerable<PodSource> sources) => Change(sources.Where(source => !_sources.Contains(source)), (change, set, elements) => change.AddElements(set, elements), _sources.UnionWith);

    public void Forbid(IEnumerable<PodSource> sources) => Change(sources.Where(_sources.Contains), (change, set, elements) => change.DeleteElements(set, elements), _sources.ExceptWith);

    /// <summary>Puts the table back if somebody changed or removed it.</summary>
    public void Verify()
    {
        if (_tables.Generation == _generation) return;
        uint seen = _tables.Generation;
        if (IsWhole())
        {
            _generation = seen;
            return;
        }
        _log.LogWarning("the table '{Table}' of nftables was changed by somebody; it is put back", Table);
        Replace([.. _sources]);
    }

    /// <summary>Asks the kernel's table, as it is now, whether what pods send may come from an address; where the table is gone, nothing looks.</summary>
    /// <param name="source">Of an IP packet.</param>
    /// <param name="hostInterface">The host's end that it comes by.</param>
    /// <param name="isBridged">Whether pods are on a bridge.</param>
    /// <exception cref="LinuxException">The kernel does not tell.</exception>
    public static bool Takes(IPAddress source, string hostInterface, bool isBridged)
    {
        if (!hostInterface.StartsWith(Attachment.InterfacePrefix, StringComparison.Ordinal) || LinkLocalV6.Contains(source) || Unspecified6.Contains(source)) return true;
        using var tables = new NfTables();
        NfFamily family = isBridged ? NfFamily.Bridge : NfFamily.Inet;
        return tables.ListRules(family, Table).Count == 0
            || tables.ListElements(family, Table, source.AddressFamily == AddressFamily.InterNetwork ? Sources4 : Sources6).Contains((source, hostInterface));
    }

    /// <summary>In what the table in force differs from what it should be.</summary>
    /// <param name="sources">All that pods may send from.</param>
    public IEnumerable<string> Contradictions(IEnumerable<PodSource> sources)
    {
        HashSet<PodSource> wanted = [.. sources];
        HashSet<PodSource> present = [.. Elements()];
        foreach (PodSource missing in wanted.Except(present)) yield return $"nftables does not let {missing.Address} in by {missing.HostInterface}";
        foreach (PodSource left in present.Except(wanted)) yield return $"nftables lets {left.Address} in by {left.HostInterface}, where no pod has it";
        if (!Rules().SequenceEqual(_rules)) yield return $"the table '{Table}' of nftables was changed by somebody";
    }

    /// <summary>Removes the table.</summary>
    public void Remove()
    {
        foreach (NfFamily family in new[] { NfFamily.Inet, NfFamily.Bridge }.Where(family => _tables.ListRules(family, Table).Count > 0))
            _tables.Commit(new NfTransaction(family, Table).DeleteTable());
    }

    public void Dispose() => _tables.Dispose();

    private bool IsWhole() => _rules.Count == _written && Rules().SequenceEqual(_rules) && _sources.SetEquals(Elements());

    private IEnumerable<PodSource> Elements() =>
        new[] { Sources4, Sources6 }.SelectMany(set => _tables.ListElements(SourceFamily, Table, set)).Select(each => new PodSource(each.Address, each.Interface));

    private List<string> Rules()
    {
        List<string> rules = [.. _tables.ListRules(NfFamily.Inet, Table)];
        if (SourceFamily == NfFamily.Bridge) rules.AddRange(_tables.ListRules(NfFamily.Bridge, Table));
        return rules;
    }

    private void Change(
        IEnumerable<PodSource> sources, Action<NfTransaction, string, IEnumerable<(IPAddress, string)>> change, Action<IEnumerable<PodSource>> account)
    {
        PodSource[] changed = [.. sources.Distinct()];
        if (changed.Length == 0) return;
        var transaction = new NfTransaction(SourceFamily, Table);
        foreach (IGrouping<bool, PodSource> family in changed.GroupBy(source => source.Address.AddressFamily == AddressFamily.InterNetworkV6))
            change(transaction, family.Key ? Sources6 : Sources4, family.Select(source => (source.Address, source.HostInterface)));
        try
        {
            _tables.Commit(transaction);
            account(changed);
            // One a transaction: where others made some too, the next look finds another number and reads everything.
            _generation++;
        }
        catch (LinuxException exception) when (exception.IsAbsent)
        {
            // Somebody flushed the table, of which the next look would have told.
            _log.LogWarning("the table '{Table}' of nftables was changed by somebody; it is put back", Table);
            account(changed);
            Replace([.. _sources]);
        }
    }

    private void AddSources(NfTransaction transaction, PodSource[] sources)
    {
        const string chain = "prerouting";
        transaction.AddSourceSet(Sources4, isIPv6: false, Sources4Id);
        transaction.AddSourceSet(Sources6, isIPv6: true, Sources6Id);
        foreach (IGrouping<bool, PodSource> family in sources.GroupBy(source => source.Address.AddressFamily == AddressFamily.InterNetworkV6))
            transaction.AddElements(family.Key ? Sources6 : Sources4, family.Select(source => (source.Address, source.HostInterface)));
        transaction.AddChain(new NfChain(chain, "filter", NfHook.Prerouting, RawPriority));
        if (SourceFamily == NfFamily.Bridge) transaction.AddRule(chain, FromPod().HasEtherType(Arp).ArpSenderNotIn(Sources4, Sources4Id).Counted().Drop());
        transaction.AddRule(chain, FromPod(Ipv4).SourceNotIn(Sources4, isIPv6: false, Sources4Id).Counted().Drop());
        // No pod is a router, and the node takes what one says where it does not forward IPv6 itself.
        foreach (byte type in new[] { Icmpv6Types.RouterAdvertisement, Icmpv6Types.Redirect }) transaction.AddRule(chain, FromPod(Ipv6).IsIcmpv6(type).Counted().Drop());
        // Who hears an advertisement believes it of any address, whatever its source.
        transaction.AddRule(chain, FromPod(Ipv6).IsIcmpv6(Icmpv6Types.NeighborAdvertisement).TargetNotIn(LinkLocalV6).TargetNotIn(Sources6, Sources6Id).Counted().Drop());
        // Link-local packets stay on the pod's own link, or its bridge: neighbour discovery, and addresses that are being probed.
        foreach (IPNetwork local in new[] { LinkLocalV6, Unspecified6 }) transaction.AddRule(chain, FromPod(Ipv6).FromBridged(local).Accept());
        transaction.AddRule(chain, FromPod(Ipv6).SourceNotIn(Sources6, isIPv6: true, Sources6Id).Counted().Drop());
    }

    private void AddMasquerade(NfTransaction transaction)
    {
        if (!_masquerade.IsOn) return;
        const string chain = "postrouting";
        transaction.AddChain(new NfChain(chain, "nat", NfHook.Postrouting, SourceNatPriority));
        foreach (string device in _masquerade.Devices) transaction.AddRule(chain, new NfRule().ToInterface($"{device}\0").Accept());
        transaction.AddRule(chain, new NfRule().ToInterface(Attachment.InterfacePrefix).Accept());
        if (_options.Bridge is { } bridge) transaction.AddRule(chain, new NfRule().ToInterface($"{bridge}\0").Accept());
        foreach (IPNetwork spared in _masquerade.Pods.Concat(_masquerade.Exclude)) transaction.AddRule(chain, new NfRule().To(spared).Accept());
        foreach (IPNetwork range in _masquerade.Pods)
        {
            // Peers believe the inner sources of what this node's address tunnels to them.
            foreach (ushort port in _masquerade.TunnelPorts) transaction.AddRule(chain, new NfRule().From(range).IsUdpTo(port).Counted().Drop());
            foreach (byte protocol in _masquerade.TunnelProtocols) transaction.AddRule(chain, new NfRule().From(range).Carries(protocol).Counted().Drop());
            transaction.AddRule(chain, new NfRule().From(range).Masquerade());
        }
    }

    private static NfRule FromPod() => new NfRule().FromInterface(Attachment.InterfacePrefix);

    private NfRule FromPod(ushort etherType) => SourceFamily == NfFamily.Bridge ? FromPod().HasEtherType(etherType) : FromPod().IsIp(etherType == Ipv6);
}
