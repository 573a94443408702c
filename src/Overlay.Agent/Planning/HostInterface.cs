using System.Net;
using Overlay.Control.Model;

namespace Overlay.Agent.Planning;

/// <summary>A network interface of the host, as found when a configuration is resolved.</summary>
/// <param name="Mtu">Bytes of an IP packet.</param>
/// <param name="Addresses">All of them; link-local ones as well.</param>
internal sealed record HostInterface(string Name, int Mtu, IReadOnlyList<InterfaceAddress> Addresses)
{
    /// <summary>Set up by the administrator.</summary>
    public bool IsUp { get; init; } = true;

    /// <summary>Kind of a virtual device, such as <c>bridge</c>.</summary>
    public string Kind { get; init; } = "";

    /// <summary>Name of the bridge or bond that it is a port of; null: none.</summary>
    public string? Master { get; init; }

    /// <summary>Destinations that the kernel's main table routes out of it, by routes of others than ourselves.</summary>
    public IReadOnlyList<IPNetwork> Routes { get; init; } = [];
}
