using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;

namespace Overlay.Agent.Pods.Addresses;

/// <summary>Where the addresses of this node's pods come from: the ranges of its configuration, or blocks that controllers lease to it.</summary>
internal interface IPodAddressSource : IDisposable
{
    /// <summary>Hands them out.</summary>
    NodeAllocator Allocator { get; }

    /// <summary>The network, as the allocator calls it.</summary>
    string Network { get; }

    /// <summary>Families in which a pod has an address, in order; empty while none is known.</summary>
    IReadOnlyList<AddressFamily> Families { get; }

    /// <summary>Prefixes that are this node's now, in order.</summary>
    IReadOnlyList<IPNetwork> Own { get; }

    /// <summary>Prefixes of pods of all nodes, as far as they are known, in order.</summary>
    IReadOnlyList<IPNetwork> All { get; }

    /// <summary>What to do when no address is left.</summary>
    string Remedy { get; }
}
