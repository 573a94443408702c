using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Overlay.Agent.Configuration;
using Overlay.Agent.Control;
using Overlay.Agent.Pods.Addresses;
using Overlay.Agent.Pods.Cni;
using Overlay.Control.Ipam;
using Overlay.Control;
using Overlay.Linux;
using Overlay.Linux.Namespaces;
using Overlay.Linux.Netlink;

namespace Overlay.Agent.Pods;

/// <summary>
/// The pods of this node: what calls of the plugin do, and the comparison of what is held with what there is. Made and used by one thread of its
/// own, as it enters pods' namespaces; only <see cref="Attachments"/> may be read by others.
/// </summary>
internal sealed partial class PodNetwork : IDisposable
{
    private readonly ILogger _log;
    private readonly Rtnetlink _netlink = new();
    private readonly NetworkNamespaceFile _home = NetworkNamespaceFile.Current();
    private readonly string _boot = new BootClock(TimeProvider.System).Boot;
    private readonly AttachmentJournal _journal;
    private readonly PodAddresses _addresses;
    private readonly PodFilter _filter;
    private readonly PodBridge? _bridge;
    private readonly PodWiring _wiring;
    private readonly PendingDeletions _pending;
    private PodSettings _settings;

    /// <summary>Prefixes whose unused addresses are refused; null: none yet.</summary>
    private IReadOnlyList<IPNetwork>? _refused;

    /// <summary>Sets up what pods have in common, and clears away what a crash left half made.</summary>
    /// <exception cref="StartRefusedException">The state cannot be used.</exception>
    /// <exception cref="LinuxException">The kernel refuses what is needed.</exception>
    /// <param name="control">Where controllers lease the blocks that pods get addresses of; null: the configuration lists ranges.</param>
    public PodNetwork(PodSettings settings, ControlAgent? control, ILogger log)
    {
        _settings = settings;
        _log = log;
        PodsOptions options = settings.Options;
        try
        {
            _journal = new AttachmentJournal(options.State, _boot, log);
            _pending = new PendingDeletions(Path.Combine(options.State, "pending"), log);
            _addresses = new PodAddresses(control is null
                ? new ConfiguredRanges(options, [.. settings.OwnAddresses, .. AddressesOfUnknownPods()], _journal.Ended.Select(ended => ended.Owner))
                : new LeasedBlocks(control, options.Segment, AddressesOfUnknownPods()));
            FreeEnded();
            // They are held already, unless the journal of addresses was lost.
            foreach (Attachment pod in _journal.All)
            {
                foreach (IPAddress address in pod.Addresses.Select(own => own.Parsed.Address)) _addresses.Keep(address, pod.Owner);
            }
            if (options.Bridge is { } bridge)
            {
                _bridge = new PodBridge(_netlink, bridge, settings.Node, options.Ranges.Select(range => range.Value));
                _bridge.SetUp(settings.Mtu);
            }
            _filter = new PodFilter(settings, _addresses.All, log);
            _wiring = new PodWiring(_netlink, _home, _bridge);
            FollowPrefixes();
            // What a crash left half made goes first, so that it is not let through.
            Reconcile();
            _filter.Replace(_journal.All.GroupBy(attachment => attachment.NamespaceId).SelectMany(SourcesOf));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>All attachments, wired or being wired.</summary>
    public ICollection<Attachment> Attachments => _journal.All;

    /// <summary>The blocks that addresses are taken from.</summary>
    public IReadOnlyList<NodeAllocator.BlockUse> Blocks => _addresses.Blocks;

    /// <summary>Does what a call asks for.</summary>
    /// <returns>What is printed; null: nothing.</returns>
    /// <exception cref="CniException">It is refused or failed, and nothing is left of it.</exception>
    public JsonObject? Answer(CniCall call)
    {
        // A deletion that was left on disk goes before whatever comes after it.
        RunPending();
        switch (call.Command)
        {
            case CniCommand.Add:
                return Add(call);
            case CniCommand.Del:
                Delete(call);
                return null;
            case CniCommand.Check:
                Check(call);
                return null;
            case CniCommand.Gc:
                Collect(call);
                return null;
            default:
                TellStatus();
                return null;
        }
    }

    /// <summary>Takes over what a reload or another underlay changed.</summary>
    public void Apply(PodSettings settings)
    {
        PodSettings before = _settings;
        _settings = settings;
        FollowPrefixes();
        if (settings.Mtu != before.Mtu) FollowMtu();
    }

    /// <summary>Looks at what is cheap to look at, often.</summary>
    public void Verify()
    {
        RunPending();
        FollowPrefixes();
        _filter.Verify();
    }

    /// <summary>Removes what pods have in common, where there is no pod any more.</summary>
    public void RemoveUnused()
    {
        if (_journal.All.Count > 0) return;
        _filter.Remove();
        _bridge?.Remove();
        foreach (Route route in UnusedRoutes()) _netlink.DeleteRoute(route);
    }

    public void Dispose()
    {
        _filter?.Dispose();
        _addresses?.Dispose();
        _home.Dispose();
        _netlink.Dispose();
    }

    /// <summary>Gives back what pods of earlier boots of the host had, at once: as many come again, and look for the addresses that they had.</summary>
    private void FreeEnded()
    {
        foreach (Attachment ended in _journal.Ended)
        {
            try
            {
                _addresses.Release(ended.Owner);
                _journal.Remove(ended);
            }
            catch (Exception exception) when (exception is CniException or IOException or UnauthorizedAccessException)
            {
                _log.LogError("{Pod} ended with the host and cannot be taken back yet: {Problem}", ended.Label, exception.Message);
            }
        }
    }

    /// <summary>All interfaces of the pod that an attachment is of.</summary>
    private Attachment[] PodOf(Attachment attachment) => [.. _journal.OfNamespace(attachment.NamespaceId)];

    /// <summary>What a pod may send from by each of its interfaces: any address of its own, as a pod answers by whichever way it likes.</summary>
    private static IEnumerable<PodSource> SourcesOf(IEnumerable<Attachment> pod) =>
        from one in pod
        from other in pod
        from own in other.Addresses
        select new PodSource(own.Parsed.Address, one.HostInterface);

    /// <summary>Takes over what prefixes are this node's, and pods', now.</summary>
    private void FollowPrefixes()
    {
        _filter.Configure(_settings, _addresses.All);
        IReadOnlyList<IPNetwork> own = _addresses.Own;
        if (_refused is { } refused && refused.SequenceEqual(own)) return;
        EnableForwarding();
        if (_bridge is null) RefuseUnusedAddresses(own);
        _refused = own;
    }

    private void EnableForwarding()
    {
        foreach (AddressFamily family in _addresses.Families)
        {
            string key = family == AddressFamily.InterNetwork ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
            if (Sysctl.Read(key) == "1") continue;
            if (Sysctl.TrySet(key, "1") is { } refusal) _log.LogWarning("pods reach nothing but this node: {Refusal}", refusal);
            else _log.LogInformation("{Sysctl} was 0 and is now 1: pods take it", key);
        }
    }

    /// <summary>Packets to addresses that no pod has are refused here, rather than sent wherever the default route leads.</summary>
    private void RefuseUnusedAddresses(IReadOnlyList<IPNetwork> own)
    {
        Route[] present = [.. UnusedRoutes()];
        foreach (Route route in present.Where(route => route.Metric != PodWiring.UnusedMetric || !own.Contains(route.Destination))) _netlink.DeleteRoute(route);
        foreach (IPNetwork prefix in own.Where(prefix => !Array.Exists(present, route => route.Metric == PodWiring.UnusedMetric && route.Destination.Equals(prefix))))
        {
            _netlink.AddRoute(new Route(prefix, 0)
            {
                Kind = RouteKind.Unreachable,
                Protocol = PodWiring.RouteProtocol,
                Metric = PodWiring.UnusedMetric,
            });
        }
    }

    private IEnumerable<Route> UnusedRoutes() => _netlink.ListRoutes().Where(route => route is { Kind: RouteKind.Unreachable, Protocol: PodWiring.RouteProtocol });

    /// <summary>Addresses that lead to interfaces of ours of which there is no record: nobody else may get them.</summary>
    private HashSet<IPAddress> AddressesOfUnknownPods()
    {
        HashSet<string> known = [.. _journal.All.Select(attachment => attachment.HostInterface)];
        HashSet<int> unknown = [.. PodLinks().Where(link => !known.Contains(link.Name)).Select(link => link.Index)];
        return [.. _netlink.ListRoutes().Where(route => unknown.Contains(route.InterfaceIndex)).Select(route => route.Destination.BaseAddress)];
    }

    private IEnumerable<Link> PodLinks() => _netlink.ListLinks().Where(link => link.Kind == "veth" && link.Name.StartsWith(Attachment.InterfacePrefix, StringComparison.Ordinal));

    /// <summary>Takes back all of an attachment. What cannot be taken back now is taken back by the next look.</summary>
    private void Undo(Attachment attachment)
    {
        try
        {
            Remove(attachment);
        }
        catch (Exception exception) when (exception is LinuxException or CniException or IOException or UnauthorizedAccessException)
        {
            _log.LogError("{Pod} cannot be taken back yet: {Problem}", attachment.Label, exception.Message);
        }
    }

    /// <summary>In the reverse order of <see cref="Add"/>; each step does nothing where it was done.</summary>
    private void Remove(Attachment attachment)
    {
        _wiring.Unwire(attachment.HostInterface);
        HashSet<IPAddress> addresses = [.. attachment.Addresses.Select(own => own.Parsed.Address)];
        _filter?.Forbid(SourcesOf(PodOf(attachment)).Where(source => source.HostInterface == attachment.HostInterface || addresses.Contains(source.Address)));
        _addresses.Release(attachment.Owner);
        _journal.Remove(attachment);
    }
}
