using System.Net;
using Overlay.Agent.Configuration;
using Overlay.Control.Model;
using Overlay.Linux.Netlink;
using Overlay.Wire;

namespace Overlay.Agent.Pods;

/// <summary>The bridge that pods are ports of, with the first address of each range as their next hop.</summary>
internal sealed class PodBridge
{
    private readonly Rtnetlink _host;
    private readonly string _name;
    private readonly string _node;
    private readonly InterfaceAddress[] _gateways;

    public PodBridge(Rtnetlink host, string name, string node, IEnumerable<IPNetwork> ranges)
    {
        _host = host;
        _name = name;
        _node = node;
        _gateways = [.. ranges.Select(range => new InterfaceAddress(Gateway(range), range.PrefixLength))];
    }

    /// <summary>Interface index, once it is set up.</summary>
    public int Index { get; private set; }

    /// <summary>The address of a range that the bridge has.</summary>
    public static IPAddress Gateway(IPNetwork range) => IpBits.ToAddress(IpBits.V6OrMapped(range.BaseAddress) + 1);

    /// <summary>Makes the bridge, or brings one that is there into shape.</summary>
    /// <returns>True where it was not there.</returns>
    /// <exception cref="StartRefusedException">There is another kind of link of that name.</exception>
    public bool SetUp(int mtu)
    {
        Link? link = _host.FindLink(_name);
        bool isNew = link is null;
        if (link is null)
        {
            _host.AddBridge(_name, DeviceMac.Derive(_node, _name), mtu);
            link = _host.FindLink(_name)!;
        }
        else if (link.Kind != "bridge")
        {
            throw new StartRefusedException($"the pods' bridge '{_name}' is there and is no bridge", "name another with 'pods: bridge:'");
        }
        Index = link.Index;
        IReadOnlyList<AssignedAddress> present = _host.ListAddresses(Index);
        foreach (InterfaceAddress gateway in _gateways.Where(gateway => !present.Any(has => has.Address.Equals(gateway.Address))))
            _host.AddAddress(new AssignedAddress(Index, gateway.Address, gateway.PrefixLength));
        if (!link.IsUp) _host.SetUp(Index, up: true);
        return isNew;
    }

    public void Remove()
    {
        if (_host.FindLink(_name) is { Kind: "bridge" } link) _host.DeleteLink(link.Index);
    }

    /// <summary>The next hop for pods with an address, and the length of their common prefix.</summary>
    public InterfaceAddress GatewayOf(IPAddress address) => Array.Find(_gateways, gateway => gateway.Network.Contains(address));

    /// <summary>A port must not have the MAC of another, and the bridge takes the least of them unless it was given one.</summary>
    public MacAddress PortMac(string port) => DeviceMac.Derive(_node, port);
}
