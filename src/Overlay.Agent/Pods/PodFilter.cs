using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Configuration;
using Overlay.Linux;
using Overlay.Linux.Netfilter;

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
    private IReadOnlyList<string> _rules = [];
    private uint _generation;
    private Masquerade _masquerade;

    /// <param name="options">Of pods.</param>
    /// <param name="devices">Devices of the segments: what leaves by them keeps its source.</param>
    /// <param name="pods">Prefixes of pods: what they send each other keeps its source too.</param>
    /// <param name="log">For what others changed.</param>
    public PodFilter(PodsOptions options, IReadOnlyList<string> devices, IReadOnlyList<IPNetwork> pods, ILogger log)
    {
        _options = options;
        _log = log;
        _masquerade = new Masquerade(options, devices, pods);
    }

    private sealed class Masquerade(PodsOptions options, IReadOnlyList<string> devices, IReadOnlyList<IPNetwork> pods)
    {
        public bool IsOn { get; } = options.Masquerade;

        public IReadOnlyList<IPNetwork> Exclude { get; } = [.. options.MasqueradeExclude.Select(each => each.Value)];

        public IReadOnlyList<string> Devices { get; } = devices;

        public IReadOnlyList<IPNetwork> Pods { get; } = pods;

        public bool IsAs(Masquerade other) =>
            IsOn == other.IsOn && Exclude.SequenceEqual(other.Exclude) && Devices.SequenceEqual(other.Devices) && Pods.SequenceEqual(other.Pods);
    }

    private NfFamily SourceFamily => _options.Bridge is null ? NfFamily.Inet : NfFamily.Bridge;

    /// <summary>Puts the whole table in force, at one instant.</summary>
    /// <param name="sources">All that pods may send from.</param>
    /// <exception cref="LinuxException">The kernel refuses it; what was in force stays.</exception>
    public void Replace(IEnumerable<PodSource> sources)
    {
        PodSource[] all = [.. sources];
        NfTransaction inet = new NfTransaction(NfFamily.Inet, Table).ReplaceTable();
        if (SourceFamily == NfFamily.Bridge)
        {
            NfTransaction bridge = new NfTransaction(NfFamily.Bridge, Table).ReplaceTable();
            AddSources(bridge, all);
            _tables.Commit(bridge);
        }
        else
        {
            AddSources(inet, all);
        }
        AddMasquerade(inet);
        _tables.Commit(inet);
        _sources.Clear();
        _sources.UnionWith(all);
        _rules = Rules();
        _generation = _tables.Generation;
    }

    /// <summary>Takes over what is to be masqueraded now; as the constructor.</summary>
    public void Configure(PodsOptions options, IReadOnlyList<string> devices, IReadOnlyList<IPNetwork> pods)
    {
        var changed = new Masquerade(options, devices, pods);
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

    private bool IsWhole() => Rules().SequenceEqual(_rules) && _sources.SetEquals(Elements());

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
        if (SourceFamily == NfFamily.Bridge)
        {
            transaction.AddRule(chain, FromPod().HasEtherType(Arp).ArpSenderNotIn(Sources4, Sources4Id).Counted().Drop());
            transaction.AddRule(chain, FromPod().HasEtherType(Ipv4).SourceNotIn(Sources4, isIPv6: false, Sources4Id).Counted().Drop());
            // Neighbour discovery speaks from these; what forges an advertisement has to name its own source.
            transaction.AddRule(chain, FromPod().HasEtherType(Ipv6).FromBridged(LinkLocalV6).Accept());
            transaction.AddRule(chain, FromPod().HasEtherType(Ipv6).FromBridged(Unspecified6).Accept());
            transaction.AddRule(chain, FromPod().HasEtherType(Ipv6).SourceNotIn(Sources6, isIPv6: true, Sources6Id).Counted().Drop());
            return;
        }
        transaction.AddRule(chain, FromPod().IsIp(isIPv6: false).SourceNotIn(Sources4, isIPv6: false, Sources4Id).Counted().Drop());
        // Link-local packets stay on the pod's own link: neighbour discovery, and addresses that are being probed.
        transaction.AddRule(chain, FromPod().From(LinkLocalV6).Accept());
        transaction.AddRule(chain, FromPod().From(Unspecified6).Accept());
        transaction.AddRule(chain, FromPod().IsIp(isIPv6: true).SourceNotIn(Sources6, isIPv6: true, Sources6Id).Counted().Drop());
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
        foreach (IPNetwork range in _masquerade.Pods) transaction.AddRule(chain, new NfRule().From(range).Masquerade());
    }

    private static NfRule FromPod() => new NfRule().FromInterface(Attachment.InterfacePrefix);
}
