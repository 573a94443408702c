using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Control;
using Overlay.Control.Ipam;
using Overlay.Rpc.Control;

namespace Overlay.Agent.Pods.Addresses;

/// <summary>
/// Pods get addresses of the blocks that controllers lease to this node. Blocks are asked for ahead of need and given back elsewhere, by the node's own
/// conversation with them; nothing here waits for it.
/// </summary>
internal sealed class LeasedBlocks : IPodAddressSource
{
    private readonly ControlAgent _control;

    /// <param name="control">The node's side of the conversation, which owns the allocator.</param>
    /// <param name="network">Name of the network that pods are in.</param>
    /// <param name="spared">Addresses on interfaces that nothing is known of: nobody gets them until they are gone.</param>
    public LeasedBlocks(ControlAgent control, string network, IReadOnlyCollection<IPAddress> spared)
    {
        _control = control;
        Network = network;
        foreach (IPAddress address in spared) Allocator.Keep(network, address, $"unknown/{address}");
    }

    public NodeAllocator Allocator => _control.Allocator;

    public string Network { get; }

    public IReadOnlyList<AddressFamily> Families => [.. All.Select(pool => pool.BaseAddress.AddressFamily).Distinct().Order()];

    public IReadOnlyList<IPNetwork> Own => Allocator.BlocksOf(Network);

    public IReadOnlyList<IPNetwork> All => [.. Told?.Pools.Select(pool => IPNetwork.Parse(pool.Prefix)) ?? []];

    public string Remedy => _control.Problems is [var first, ..] ? first : "a further block is being asked for: the call can be repeated";

    private Network? Told => _control.Own.Networks.FirstOrDefault(network => network.Name == Network);

    public void Dispose()
    {
        // The allocator is the node's.
    }
}
