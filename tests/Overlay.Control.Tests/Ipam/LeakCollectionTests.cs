using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;

namespace Overlay.Control.Tests.Ipam;

/// <summary>Addresses that leaked are freed, and no live one ever.</summary>
public sealed class LeakCollectionTests : NodeAllocatorLab
{
    [Fact]
    public void CollectLeaks_SeenInTwoLooksApart_ReleasesOnlyWhatNobodyKnows()
    {
        using NodeAllocator allocator = Open();
        allocator.AddBlock(Network, Block, []);
        IPAddress live = allocator.Allocate(Network, AddressFamily.InterNetwork, "live").Address!;
        allocator.Allocate(Network, AddressFamily.InterNetwork, "listed");
        allocator.Allocate(Network, AddressFamily.InterNetwork, "back");
        IPAddress leaked = allocator.Allocate(Network, AddressFamily.InterNetwork, "leaked").Address!;
        HashSet<IPAddress> interfaces = [live];

        Assert.Empty(allocator.CollectLeaks(interfaces, new HashSet<string> { "listed" }));
        Time.Advance(TimeSpan.FromMinutes(1));
        Assert.Empty(allocator.CollectLeaks(interfaces, new HashSet<string> { "listed", "back" }));
        Time.Advance(TimeSpan.FromMinutes(1));

        NodeAllocator.Held only = Assert.Single(allocator.CollectLeaks(interfaces, new HashSet<string> { "listed" }));
        Assert.Equal((leaked, "leaked"), (only.Address, only.Owner));
    }
}
