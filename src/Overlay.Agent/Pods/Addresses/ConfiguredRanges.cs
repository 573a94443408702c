using System.Net;
using System.Net.Sockets;
using Overlay.Agent.Configuration;
using Overlay.Control.Ipam;
using Overlay.Wire;

namespace Overlay.Agent.Pods.Addresses;

/// <summary>Pods get addresses of the ranges that the node's configuration lists.</summary>
internal sealed class ConfiguredRanges : IPodAddressSource
{
    /// <summary>Addresses of a range that are used, from its start.</summary>
    private const int MostBits = 16;

    /// <param name="spared">Addresses that no pod gets beside the reserved ones: the node's own, and those on interfaces that nothing is known of.</param>
    /// <param name="ended">Owners that ended with an earlier boot of the host.</param>
    /// <exception cref="StartRefusedException">The journal cannot be used, or pods have addresses of ranges that are gone.</exception>
    public ConfiguredRanges(PodsOptions options, IReadOnlyCollection<IPAddress> spared, IEnumerable<string> ended)
    {
        Network = options.Segment;
        Own = [.. options.Ranges.Select(range => range.Value)];
        Families = [.. Own.Select(range => range.BaseAddress.AddressFamily).Distinct().Order()];
        try
        {
            Allocator = new NodeAllocator(new NodeAllocatorOptions
            {
                Journal = Path.Combine(options.State, "addresses.journal"),
                CoolDown = TimeSpan.FromSeconds(options.CoolDownSeconds),
                LeakConfirmation = TimeSpan.FromSeconds(options.LeakSeconds),
            });
            foreach (string owner in ended) TryRelease(owner);
            UseRanges(options, spared);
        }
        catch (JournalException exception)
        {
            Allocator?.Dispose();
            throw new StartRefusedException(exception.Message, "or choose another 'pods: state:'", exception);
        }
        catch
        {
            Allocator?.Dispose();
            throw;
        }
    }

    public NodeAllocator Allocator { get; }

    public string Network { get; }

    public IReadOnlyList<AddressFamily> Families { get; }

    public IReadOnlyList<IPNetwork> Own { get; }

    public IReadOnlyList<IPNetwork> All => Own;

    public string Remedy => "delete pods, or give this node another range under 'pods: ranges:'";

    public void Dispose() => Allocator.Dispose();

    private void TryRelease(string owner)
    {
        try
        {
            Allocator.Release(Network, owner);
        }
        catch (JournalException)
        {
            // Whoever takes the rest of it back tells, and goes on: a full disk keeps no daemon from starting.
        }
    }

    private void UseRanges(PodsOptions options, IReadOnlyCollection<IPAddress> spared)
    {
        IPNetwork[] used = [.. options.Ranges.Select(range => Used(range))];
        foreach (IPNetwork gone in Allocator.Blocks.Except(used))
        {
            int held = Allocator.All.Count(each => gone.Contains(each.Address));
            if (held > 0)
                throw new StartRefusedException($"{held} pods have addresses of {gone}, which is no range of 'pods:' any more", "put the range back until they are gone, or drain the node");
            Allocator.RemoveBlock(gone);
        }
        foreach ((Located<IPNetwork> range, IPNetwork block) in options.Ranges.Zip(used))
        {
            IEnumerable<IPAddress> notForPods = options.Reserved.Select(address => address.Value).Concat(spared).Concat(Special(range, options.Bridge is not null));
            IPAddress[] unusable = [.. notForPods.Where(address => block.Contains(address)).Distinct()];
            Allocator.AddBlock(Network, block, unusable);
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
