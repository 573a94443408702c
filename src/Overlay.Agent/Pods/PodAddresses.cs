using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Configuration;
using Overlay.Agent.Pods.Cni;
using Overlay.Control.Ipam;
using Overlay.Wire;

namespace Overlay.Agent.Pods;

/// <summary>Which addresses pods get: of the node's ranges, one a family, the one asked for or the one that the pod had last where that can be.</summary>
internal sealed class PodAddresses : IDisposable
{
    /// <summary>Addresses of a range that are used, from its start.</summary>
    private const int MostBits = 16;

    private readonly NodeAllocator _allocator;
    private readonly string _network;
    private readonly AddressFamily[] _families;
    private readonly Dictionary<AddressFamily, int> _usable = [];

    /// <param name="spared">Addresses that no pod gets beside the reserved ones: the node's own, and those on interfaces that nothing is known of.</param>
    /// <exception cref="StartRefusedException">The journal cannot be used, or pods have addresses of ranges that are gone.</exception>
    public PodAddresses(PodsOptions options, IReadOnlyCollection<IPAddress> spared)
    {
        _network = options.Segment;
        _families = [.. options.Ranges.Select(range => range.Value.BaseAddress.AddressFamily).Distinct().Order()];
        string journal = Path.Combine(options.State, "addresses.journal");
        try
        {
            _allocator = new NodeAllocator(new NodeAllocatorOptions
            {
                Journal = journal,
                CoolDown = TimeSpan.FromSeconds(options.CoolDownSeconds),
                LeakConfirmation = TimeSpan.FromSeconds(options.LeakSeconds),
            });
            UseRanges(options, spared);
        }
        catch (JournalException exception)
        {
            _allocator?.Dispose();
            throw new StartRefusedException(exception.Message, "or choose another 'pods: state:'", exception);
        }
        catch
        {
            _allocator?.Dispose();
            throw;
        }
    }

    public IReadOnlyList<NodeAllocator.Held> Held => _allocator.All;

    /// <summary>Addresses that can be had now or after their cool-down; the least of the families.</summary>
    public int Free
    {
        get
        {
            ILookup<AddressFamily, NodeAllocator.Held> held = _allocator.All.ToLookup(each => each.Address.AddressFamily);
            return _families.Min(family => _usable[family] - held[family].Count());
        }
    }

    /// <summary>One address a family for an owner.</summary>
    /// <param name="owner">For whom; one that has addresses keeps them.</param>
    /// <param name="wanted">Asked for; at most one a family.</param>
    /// <param name="before">What the same pod had last; null: nothing is known.</param>
    /// <exception cref="CniException">None can be had, or not the one that is wanted; nothing is held then.</exception>
    public IReadOnlyList<IPAddress> Allocate(string owner, IReadOnlyList<IPAddress> wanted, RememberedPod? before)
    {
        if (wanted.FirstOrDefault(address => !_families.Contains(address.AddressFamily)) is { } foreign)
            throw new CniException(CniErrorCode.AddressUnavailable, $"the address {foreign} that was asked for is of a family in which pods of this node have none");
        if (wanted.GroupBy(address => address.AddressFamily).FirstOrDefault(family => family.Count() > 1) is { } twice)
            throw new CniException(CniErrorCode.InvalidConfiguration, $"several addresses of one family were asked for: {string.Join(", ", twice)}", "an interface gets one a family");
        var addresses = new List<IPAddress>();
        try
        {
            foreach (AddressFamily family in _families) addresses.Add(One(owner, family, wanted.FirstOrDefault(address => address.AddressFamily == family), before));
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

    /// <inheritdoc cref="NodeAllocator.CollectLeaks"/>
    public IReadOnlyList<NodeAllocator.Held> CollectLeaks(IReadOnlySet<IPAddress> live, IReadOnlySet<string> owners) => _allocator.CollectLeaks(live, owners);

    public void Dispose() => _allocator.Dispose();

    private IPAddress One(string owner, AddressFamily family, IPAddress? wanted, RememberedPod? before)
    {
        if (wanted is not null)
        {
            Allocation asked = _allocator.AllocateAddress(_network, wanted, owner, before?.Owner);
            if (asked.Address is { } exact) return exact;
            throw new CniException(
                asked.Status == AllocationStatus.JournalFailed ? CniErrorCode.IoFailure : CniErrorCode.AddressUnavailable,
                $"the address {wanted} that was asked for cannot be had: {asked.Problem}");
        }
        foreach (string last in before?.Addresses ?? [])
        {
            if (IPAddress.TryParse(last, out IPAddress? address) && address.AddressFamily == family
                && _allocator.AllocateAddress(_network, address, owner, before!.Owner).Address is { } sticky)
                return sticky;
        }
        Allocation any = _allocator.Allocate(_network, family, owner);
        return any.Address ?? throw (any.Status == AllocationStatus.JournalFailed
            ? new CniException(CniErrorCode.IoFailure, any.Problem!)
            : new CniException(CniErrorCode.TryAgainLater, Exhaustion(any.Problem!), "delete pods, or give this node another range under 'pods: ranges:'"));
    }

    /// <summary>Names those who hold most.</summary>
    private string Exhaustion(string problem)
    {
        const int most = 3;
        var holders = _allocator.All.GroupBy(held => held.Owner.Split('/')[0]).OrderByDescending(group => group.Count()).Take(most)
            .Select(group => $"network {group.Key} holds {group.Count()}");
        return $"{problem}; of {string.Join(", ", _allocator.Blocks)}, {string.Join(", ", holders.DefaultIfEmpty("nothing is held"))}";
    }

    private void UseRanges(PodsOptions options, IReadOnlyCollection<IPAddress> spared)
    {
        IPNetwork[] used = [.. options.Ranges.Select(range => Used(range))];
        foreach (IPNetwork gone in _allocator.Blocks.Except(used))
        {
            int held = _allocator.All.Count(each => gone.Contains(each.Address));
            if (held > 0)
                throw new StartRefusedException($"{held} pods have addresses of {gone}, which is no range of 'pods:' any more", "put the range back until they are gone, or drain the node");
            _allocator.RemoveBlock(gone);
        }
        foreach ((Located<IPNetwork> range, IPNetwork block) in options.Ranges.Zip(used))
        {
            IEnumerable<IPAddress> notForPods = options.Reserved.Select(address => address.Value).Concat(spared).Concat(Special(range, options.Bridge is not null));
            IPAddress[] unusable = [.. notForPods.Where(address => block.Contains(address)).Distinct()];
            _allocator.AddBlock(_network, block, unusable);
            AddressFamily family = block.BaseAddress.AddressFamily;
            int size = 1 << ((family == AddressFamily.InterNetworkV6 ? 128 : 32) - block.PrefixLength);
            _usable[family] = _usable.GetValueOrDefault(family) + size - unusable.Length;
        }
    }

    private static IPNetwork Used(IPNetwork range)
    {
        int bits = range.BaseAddress.AddressFamily == AddressFamily.InterNetworkV6 ? 128 : 32;
        return new IPNetwork(range.BaseAddress, Math.Max(range.PrefixLength, bits - MostBits));
    }

    /// <summary>The first address, which names the network or any router on it; an IPv4 network's last, its broadcast; a bridge's own.</summary>
    private static IEnumerable<IPAddress> Special(IPNetwork range, bool isBridged)
    {
        yield return range.BaseAddress;
        if (isBridged) yield return PodBridge.Gateway(range);
        if (range.BaseAddress.AddressFamily == AddressFamily.InterNetwork)
            yield return IpBits.ToAddress(IpBits.V6OrMapped(range.BaseAddress) + (UInt128.One << (32 - range.PrefixLength)) - 1);
    }
}
