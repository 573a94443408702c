using System.Net;

namespace Overlay.Agent.Configuration;

/// <summary>Pods that this node wires by CNI.</summary>
/// <param name="Line">Of the section.</param>
/// <param name="Segment">Segment that they are in.</param>
/// <param name="Ranges">Prefixes that the node's pods get their addresses from, of which the first 65,536 addresses are used.</param>
/// <param name="Reserved">Addresses of them that no pod gets.</param>
/// <param name="Bridge">Bridge that pods are ports of; null: each has a link of its own to the host.</param>
/// <param name="Socket">Where the plugin calls.</param>
/// <param name="State">Folder of the journals.</param>
/// <param name="Masquerade">Whether what leaves the overlay takes this node's address.</param>
/// <param name="MasqueradeExclude">Destinations that see the pods' own addresses nevertheless.</param>
/// <param name="LeakSeconds">How long something must look leaked before it is freed.</param>
/// <param name="CoolDownSeconds">How long an address rests before another pod gets it.</param>
/// <param name="Drain">No more pods are added.</param>
/// <param name="Conflist">Null: none is installed.</param>
internal sealed record PodsOptions(
    int Line,
    Located<string> Segment,
    IReadOnlyList<Located<IPNetwork>> Ranges,
    IReadOnlyList<Located<IPAddress>> Reserved,
    Located<string>? Bridge,
    Located<string> Socket,
    Located<string> State,
    Located<bool> Masquerade,
    IReadOnlyList<Located<IPNetwork>> MasqueradeExclude,
    Located<int> LeakSeconds,
    Located<int> CoolDownSeconds,
    Located<bool> Drain,
    ConflistOptions? Conflist)
{
    public const string DefaultSocket = "/run/overlay/cni.sock";

    public const string DefaultState = "/var/lib/overlay/pods";
}

/// <summary>The configuration that a container runtime reads.</summary>
/// <param name="Path">Where it is installed.</param>
/// <param name="Network">Name of the CNI network.</param>
/// <param name="Version">Of the CNI specification.</param>
/// <param name="Plugins">Types of the plugins that come after ours.</param>
internal sealed record ConflistOptions(Located<string> Path, Located<string> Network, Located<string> Version, IReadOnlyList<Located<string>> Plugins);
