using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Configuration;
using Overlay.Agent.Planning;
using Overlay.Control.Model;
using Overlay.Linux.Netlink;
using Overlay.Wire;

namespace Overlay.Agent.Setup;

/// <summary>
/// Asks the kernel how it reaches peers. A link is asked for once, and no others are: hosts may have a great many that come and go all the time.
/// </summary>
internal sealed class HostWays : IDisposable
{
    private readonly Rtnetlink _netlink = new();
    private readonly Dictionary<string, Link?> _byName = [];
    private readonly Dictionary<int, Link?> _byIndex = [];
    private readonly HashSet<string> _own;

    /// <param name="options">Names our own devices, by which no tunnel packet gets out.</param>
    public HostWays(OverlaydOptions options) => _own = [.. options.Segments.Select(segment => segment.Device.Value)];

    /// <inheritdoc cref="PeerWayFinder"/>
    public PeerWay? Find(IPAddress peer, UnderlayPlan underlay)
    {
        IPAddress? local = peer.AddressFamily == AddressFamily.InterNetwork ? underlay.AddressV4 : underlay.AddressV6;
        int bound = (underlay.Interface is { } name ? Named(name)?.Index : null) ?? (peer.IsIPv6LinkLocal ? (int)peer.ScopeId : 0);
        if (_netlink.FindWay(peer, local, bound) is not { } way || At(way.InterfaceIndex) is not { } link) return null;
        int carries = peer.AddressFamily == AddressFamily.InterNetwork ? link.Mtu : link.Ipv6Mtu;
        return _own.Contains(link.Name)
            ? new PeerWay(link.Name, underlay.Mtu) { LeadsBack = true }
            : new PeerWay(link.Name, Math.Min(way.Mtu ?? int.MaxValue, carries));
    }

    /// <summary>The plan with what interfaces and routes carry now; the same one where that has not changed.</summary>
    public NodePlan Measure(NodePlan plan)
    {
        int mtu = plan.Underlay.Holders.Select(Named).OfType<Link>().Select(link => link.Mtu).DefaultIfEmpty(plan.Underlay.Mtu).Min();
        UnderlayPlan underlay = plan.Underlay with { Mtu = mtu };
        var ways = new Dictionary<string, PeerWay>();
        foreach (PeerState peer in plan.State.Peers)
        {
            if (Find(IpBits.ToAddress(peer.Endpoint.Address), underlay) is { } way) ways.Add(peer.Name, way);
        }
        bool same = mtu == plan.Underlay.Mtu && ways.Count == plan.Ways.Count && ways.All(each => plan.Ways.GetValueOrDefault(each.Key) == each.Value);
        return same ? plan : plan with { Underlay = underlay, Ways = ways };
    }

    public void Dispose() => _netlink.Dispose();

    private Link? Named(string name)
    {
        if (!_byName.TryGetValue(name, out Link? link)) _byName.Add(name, link = _netlink.FindLink(name));
        return link;
    }

    private Link? At(int index)
    {
        if (!_byIndex.TryGetValue(index, out Link? link)) _byIndex.Add(index, link = _netlink.FindLink(index));
        return link;
    }
}
