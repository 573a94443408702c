using Overlay.Agent.Configuration;
using Overlay.Dataplane.Tunnels;

namespace Overlay.Agent.Planning;

/// <summary>What fits a device's packets, from what the ways to the peers carry.</summary>
internal static class DeviceMtu
{
    /// <summary>Bytes of an inner IP packet that fit the ways to all peers, and how they come about.</summary>
    /// <param name="tunnel">How packets are wrapped.</param>
    /// <param name="underlay">Holds for peers without a way, and where there are no peers.</param>
    /// <param name="peers">Each with its outer family.</param>
    /// <param name="ways">By name of the peer.</param>
    public static (int Room, string Reckoning) Room(
        TunnelFormat tunnel, UnderlayPlan underlay, IEnumerable<(string Name, bool IsIPv6)> peers, IReadOnlyDictionary<string, PeerWay> ways)
    {
        (int Mtu, int Overhead, string Where) narrowest = (underlay.Mtu, Overhead(tunnel, underlay.AddressV4 is null), $"the underlay's MTU is {underlay.Mtu}");
        bool any = false;
        foreach ((string name, bool isIPv6) in peers)
        {
            PeerWay? way = ways.GetValueOrDefault(name);
            int mtu = way?.Mtu ?? underlay.Mtu;
            int overhead = Overhead(tunnel, isIPv6);
            if (any && mtu - overhead >= narrowest.Mtu - narrowest.Overhead) continue;
            any = true;
            narrowest = (mtu, overhead, way is null
                ? $"the underlay's MTU is {mtu}"
                : $"the way to peer '{name}' by '{way.Interface}' carries {mtu} bytes");
        }
        int room = narrowest.Mtu - narrowest.Overhead;
        return (room, $"{narrowest.Where}, and {EncapsulationNames.Of(tunnel)} takes {narrowest.Overhead} of them, which leaves {room} inside");
    }

    public static string TooLittleForIPv6(string device, int mtu, string reckoning) =>
        $"device '{device}' has MTU {mtu}, the least for IPv6, and {reckoning}: "
        + "IPv6 packets above that are fragmented outside (RFC 2473, 7.1), senders of IPv4 are told by ICMP";

    public static string Lessened(string misfit, string device, int mtu) => $"{misfit}; device '{device}' has MTU {mtu} until it fits again";

    private static int Overhead(TunnelFormat tunnel, bool overIPv6) => tunnel.OuterLength(overIPv6) + tunnel.MaxPrefixLength;
}
