using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Pods.Addresses;
using Overlay.Agent.Pods.Cni;
using Overlay.Control.Ipam;

namespace Overlay.Agent.Pods;

/// <summary>Which addresses pods get: one a family, the one asked for or the one that the pod had last where that can be.</summary>
internal sealed class PodAddresses(IPodAddressSource source) : IDisposable
{
    private readonly NodeAllocator _allocator = source.Allocator;
    private readonly string _network = source.Network;

    /// <summary>Addresses of the network that pods are in which are held.</summary>
    public IReadOnlyList<NodeAllocator.Held> Held => [.. _allocator.All.Where(held => held.Network == _network)];

    /// <inheritdoc cref="IPodAddressSource.Families"/>
    public IReadOnlyList<AddressFamily> Families => source.Families;

    /// <inheritdoc cref="IPodAddressSource.Own"/>
    public IReadOnlyList<IPNetwork> Own => source.Own;

    /// <inheritdoc cref="IPodAddressSource.All"/>
    public IReadOnlyList<IPNetwork> All => source.All;

    /// <inheritdoc cref="IPodAddressSource.Remedy"/>
    public string Remedy => source.Remedy;

    /// <summary>The ranges, as far as they are used.</summary>
    public IReadOnlyList<NodeAllocator.BlockUse> Blocks => [.. _allocator.BlocksInUse.Where(block => block.Network == _network)];

    /// <summary>Addresses that can be had now or after their cool-down; the least of the families.</summary>
    public int Free => Families.Select(family => _allocator.Free(_network, family)).DefaultIfEmpty(0).Min();

    /// <inheritdoc cref="NodeAllocator.Doubt"/>
    public string? Doubt => _allocator.Doubt;

    /// <summary>One address a family for an owner.</summary>
    /// <param name="owner">For whom; one that has addresses keeps them.</param>
    /// <param name="wanted">Asked for; at most one a family.</param>
    /// <param name="before">What the same pod had last; null: nothing is known.</param>
    /// <exception cref="CniException">None can be had, or not the one that is wanted; nothing is held then.</exception>
    public IReadOnlyList<IPAddress> Allocate(string owner, IReadOnlyList<IPAddress> wanted, RememberedPod? before)
    {
        IReadOnlyList<AddressFamily> families = Families;
        if (families.Count == 0) throw new CniException(CniErrorCode.TryAgainLater, $"the network '{_network}' that pods are in is not known yet", Remedy);
        if (wanted.FirstOrDefault(address => !families.Contains(address.AddressFamily)) is { } foreign)
            throw new CniException(CniErrorCode.AddressUnavailable, $"the address {foreign} that was asked for is of a family in which pods of this node have none");
        if (wanted.GroupBy(address => address.AddressFamily).FirstOrDefault(family => family.Count() > 1) is { } twice)
            throw new CniException(CniErrorCode.InvalidConfiguration, $"several addresses of one family were asked for: {string.Join(", ", twice)}", "an interface gets one a family");
        var addresses = new List<IPAddress>();
        try
        {
            foreach (AddressFamily family in families) addresses.Add(One(owner, family, wanted.FirstOrDefault(address => address.AddressFamily == family), before));
            return addresses;
        }
        catch (CniException)
        {
            Release(owner);
            throw;
        }
    }

    /// <summary>Gives an owner's addresses back; nothing happens where it has none.</summary>
    public void Release(string owner)
    {
        try
        {
            _allocator.Release(_network, owner);
        }
        catch (JournalException exception)
        {
            throw new CniException(CniErrorCode.IoFailure, $"the addresses of {owner} cannot be given back: {exception.Message}", "", exception);
        }
    }

    /// <inheritdoc cref="NodeAllocator.Keep"/>
    public void Keep(IPAddress address, string owner) => _allocator.Keep(_network, address, owner);

    /// <inheritdoc cref="NodeAllocator.CollectLeaks"/>
    public IReadOnlyList<NodeAllocator.Held> CollectLeaks(IReadOnlySet<IPAddress> live, IReadOnlySet<string> owners) => _allocator.CollectLeaks(live, owners);

    public void Dispose() => source.Dispose();

    private IPAddress One(string owner, AddressFamily family, IPAddress? wanted, RememberedPod? before)
    {
        if (wanted is not null)
        {
            Allocation asked = _allocator.AllocateAddress(_network, wanted, owner, before?.Owner);
            if (asked.Address is { } exact) return exact;
            throw new CniException(
                asked.Status switch
                {
                    AllocationStatus.JournalFailed => CniErrorCode.IoFailure,
                    AllocationStatus.Unconfirmed => CniErrorCode.TryAgainLater,
                    _ => CniErrorCode.AddressUnavailable,
                },
                $"the address {wanted} that was asked for cannot be had: {asked.Problem}");
        }
        foreach (string last in before?.Addresses ?? [])
        {
            if (IPAddress.TryParse(last, out IPAddress? address) && address.AddressFamily == family
                && _allocator.AllocateAddress(_network, address, owner, before!.Owner).Address is { } sticky)
                return sticky;
        }
        Allocation any = _allocator.Allocate(_network, family, owner);
        return any.Address ?? throw (any.Status switch
        {
            AllocationStatus.JournalFailed => new CniException(CniErrorCode.IoFailure, any.Problem!),
            AllocationStatus.Unconfirmed => new CniException(CniErrorCode.TryAgainLater, any.Problem!, Remedy),
            _ => new CniException(CniErrorCode.TryAgainLater, Exhaustion(any.Problem!), Remedy),
        });
    }

    /// <summary>Names those who hold most.</summary>
    private string Exhaustion(string problem)
    {
        const int most = 3;
        var holders = _allocator.All.GroupBy(held => held.Owner.Split('/')[0]).OrderByDescending(group => group.Count()).Take(most)
            .Select(group => $"network {group.Key} holds {group.Count()}");
        return $"{problem}; of {string.Join(", ", Own.Select(prefix => prefix.ToString()).DefaultIfEmpty("no block"))}, {string.Join(", ", holders.DefaultIfEmpty("nothing is held"))}";
    }
}
