using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;

namespace Overlay.Control.Tests.Ipam;

/// <summary>Blocks of a node: wanted ahead of need, lent, given back.</summary>
public sealed class NodeBlockTests : NodeAllocatorLab
{
    /// <summary>The journal was lost, and what is in use is known from elsewhere, before the block comes back.</summary>
    [Fact]
    public void Keep_AddressOfABlockThatComesLater_IsHeldWhenItComesAndHandedOutToNobody()
    {
        IPAddress[] live = [IPAddress.Parse("10.244.1.5"), IPAddress.Parse("10.244.1.50")];
        using (NodeAllocator allocator = Open())
        {
            allocator.Keep(Network, live[0], "pod-a");
            allocator.Keep(Network, live[1], "pod-b");
            allocator.Keep(Network, IPAddress.Parse("10.244.1.6"), "gone");
            Assert.Equal(0, allocator.Release(Network, "gone"));
            Assert.True(allocator.Knows(Block));

            allocator.AddBlock(Network, Block, [Block.BaseAddress]);

            Assert.Equal(["pod-a", "pod-b"], allocator.All.Select(held => held.Owner).Order());
            for (int i = 0; i < 20; i++) Assert.DoesNotContain(AllocateWhenExtended(allocator, $"a{i}").Address, live);
        }
        using NodeAllocator reopened = Open();
        Time.Advance(TimeSpan.FromSeconds(30));
        for (int i = 0; i < 41; i++) Assert.DoesNotContain(AllocateWhenExtended(reopened, $"b{i}").Address, live);
        Assert.Equal(AllocationStatus.Exhausted, reopened.Allocate(Network, AddressFamily.InterNetwork, "late").Status);
        Assert.False(reopened.Knows(IPNetwork.Parse("10.244.2.0/26")));
    }

    [Fact]
    public void OfferIdleBlock_BlockWithoutUse_IsOfferedAboveTheHighWaterMarkOnly()
    {
        using NodeAllocator allocator = Open();
        allocator.AddBlock(Network, Block, []);
        allocator.AddBlock(Network, IPNetwork.Parse("10.244.2.0/26"), []);
        Assert.Null(allocator.OfferIdleBlock(Network, AddressFamily.InterNetwork));
        allocator.AddBlock(Network, IPNetwork.Parse("10.244.3.0/26"), []);

        IPNetwork offered = allocator.OfferIdleBlock(Network, AddressFamily.InterNetwork)!.Value;
        allocator.RemoveBlock(offered);

        Assert.Null(allocator.OfferIdleBlock(Network, AddressFamily.InterNetwork));
        Assert.DoesNotContain(offered, allocator.Blocks);
        Assert.False(allocator.WantsBlock(Network, AddressFamily.InterNetwork));
    }

    [Fact]
    public void OfferIdleBlock_RestartBeforeItIsGone_HandsOutNoneOfItUntilItIsAddedAgain()
    {
        using (NodeAllocator allocator = Open())
        {
            allocator.AddBlock(Network, Block, []);
            Assert.Equal(Block, allocator.OfferIdleBlock(Network, AddressFamily.InterNetwork, all: true));
        }
        using (NodeAllocator reopened = Open())
        {
            Assert.Equal(AllocationStatus.Exhausted, reopened.Allocate(Network, AddressFamily.InterNetwork, "a").Status);
            reopened.AddBlock(Network, Block, []);
            Time.Advance(TimeSpan.FromSeconds(30));
            Assert.Equal(AllocationStatus.Allocated, reopened.Allocate(Network, AddressFamily.InterNetwork, "a").Status);
        }
        using NodeAllocator again = Open();
        Time.Advance(TimeSpan.FromSeconds(30));

        Assert.Equal(AllocationStatus.Allocated, again.Allocate(Network, AddressFamily.InterNetwork, "b").Status);
    }

    [Fact]
    public void OfferIdleBlock_PartThatIsLent_GoesBackAsSoonAsItCanBeSpared()
    {
        var part = IPNetwork.Parse("10.244.9.48/29");
        using NodeAllocator allocator = Open();
        allocator.AddBlock(Network, part, [part.BaseAddress], isLent: true);
        Assert.Null(allocator.OfferIdleBlock(Network, AddressFamily.InterNetwork));
        allocator.AddBlock(Network, Block, []);

        Assert.Equal(part, allocator.OfferIdleBlock(Network, AddressFamily.InterNetwork));
        Assert.Null(allocator.OfferPart(Network, AddressFamily.InterNetworkV6));
    }

    [Fact]
    public void OfferPart_OfABlockWithRoom_IsHandedToNobodyAlsoAfterARestartUntilItIsBack()
    {
        IPNetwork part;
        using (NodeAllocator allocator = Open())
        {
            allocator.AddBlock(Network, Block, [IPAddress.Parse("10.244.1.0"), IPAddress.Parse("10.244.1.60")]);
            part = allocator.OfferPart(Network, AddressFamily.InterNetwork)!.Value;
            Assert.Equal(IPNetwork.Parse("10.244.1.48/29"), part);
        }
        using NodeAllocator reopened = Open();
        Time.Advance(TimeSpan.FromSeconds(30));
        IPAddress[] handed = [.. Enumerable.Range(0, 64).Select(i => reopened.Allocate(Network, AddressFamily.InterNetwork, $"o{i}").Address).OfType<IPAddress>()];
        reopened.AddBlock(Network, Block, []);
        Time.Advance(TimeSpan.FromSeconds(30));
        IPAddress[] later = [.. Enumerable.Range(0, 64).Select(i => reopened.Allocate(Network, AddressFamily.InterNetwork, $"p{i}").Address).OfType<IPAddress>()];

        Assert.Equal(64 - 2 - 8, handed.Length);
        Assert.DoesNotContain(handed, part.Contains);
        Assert.Equal(8, later.Count(part.Contains));
        Assert.Null(reopened.OfferPart(Network, AddressFamily.InterNetwork));
    }

    [Fact]
    public void WantsBlock_AddressesThatCoolDown_CountAsNoneUntilTheyHaveCooled()
    {
        using NodeAllocator allocator = Open();
        int told = 0;
        allocator.BlockWanted += () => told++;
        allocator.AddBlock(Network, Block, [IPAddress.Parse("10.244.1.0")]);
        for (int i = 0; i < 31; i++) AllocateWhenExtended(allocator, $"o{i}");
        Assert.Equal((32, 0), (allocator.Available(Network, AddressFamily.InterNetwork), told));
        allocator.Release(Network, "o0");
        AllocateWhenExtended(allocator, "late");

        Assert.Equal((31, 1), (allocator.Available(Network, AddressFamily.InterNetwork), told));
        Assert.True(allocator.WantsBlock(Network, AddressFamily.InterNetwork));
        Assert.Equal(32, allocator.Free(Network, AddressFamily.InterNetwork));
        Time.Advance(TimeSpan.FromSeconds(30));
        Assert.False(allocator.WantsBlock(Network, AddressFamily.InterNetwork));
    }

    [Fact]
    public void Allocate_BlockWhoseFirstHundredAddressesAreSpared_HandsOutTheNext()
    {
        using NodeAllocator allocator = Open();
        allocator.AddBlock(Network, IPNetwork.Parse("10.244.1.0/24"), [.. Enumerable.Range(0, 100).Select(i => IPAddress.Parse($"10.244.1.{i}"))]);

        Assert.Equal(IPAddress.Parse("10.244.1.100"), allocator.Allocate(Network, AddressFamily.InterNetwork, "a").Address);
    }

    /// <summary>Nobody who allocates waits for the disk on which blocks come and go, and none of a block that is on its way back is handed out.</summary>
    [Fact]
    public void Allocate_ByManyThreadsWhileBlocksComeAndGo_GivesNoAddressTwiceAndNoneOfABlockThatIsAway()
    {
        var holders = new ConcurrentDictionary<IPAddress, string>();
        var away = new ConcurrentDictionary<IPNetwork, bool>();
        var wrong = new ConcurrentQueue<string>();
        IPNetwork[] blocks = [.. Enumerable.Range(0, 16).Select(i => IPNetwork.Parse($"10.244.1.{i * 16}/28"))];
        using var allocator = new NodeAllocator(new NodeAllocatorOptions { Journal = Journal, CoolDown = TimeSpan.Zero });
        foreach (IPNetwork block in blocks[..4]) allocator.AddBlock(Network, block, []);
        int handedOut = 0;
        Thread[] pods = [.. Enumerable.Range(0, 8).Select(i => new Thread(() => Run(i)))];
        Array.ForEach(pods, thread => thread.Start());
        for (int i = 0; pods.Any(thread => thread.IsAlive); i++)
        {
            away.TryRemove(blocks[i % 16], out _);
            allocator.AddBlock(Network, blocks[i % 16], []);
            if (allocator.Blocks.Count <= 4 || allocator.OfferIdleBlock(Network, AddressFamily.InterNetwork, all: true) is not { } idle) continue;
            away[idle] = true;
            Assert.True(allocator.RemoveBlock(idle));
        }

        Assert.Empty(wrong);
        Assert.Empty(allocator.All);
        Assert.True(handedOut > 1000, $"only {handedOut} were handed out");

        void Run(int number)
        {
            for (int i = 0; i < 500; i++)
            {
                string owner = $"{number}-{i}";
                if (allocator.Allocate(Network, AddressFamily.InterNetwork, owner).Address is not { } address) continue;
                if (!holders.TryAdd(address, owner)) wrong.Enqueue($"{address} of {owner} is {holders.GetValueOrDefault(address)}'s");
                if (away.Keys.Any(block => block.Contains(address))) wrong.Enqueue($"{address} of {owner} is of a block that is away");
                Interlocked.Increment(ref handedOut);
                holders.TryRemove(address, out _);
                allocator.Release(Network, owner);
            }
        }
    }

    [Fact]
    public void AddBlock_AddressSparedNoMore_IsHandedOutAfterItsCoolDown()
    {
        var spared = IPAddress.Parse("10.244.1.1");
        using NodeAllocator allocator = Open();
        allocator.AddBlock(Network, IPNetwork.Parse("10.244.1.0/30"), [spared]);
        Assert.All(Enumerable.Range(0, 3), i => Assert.NotEqual(spared, allocator.Allocate(Network, AddressFamily.InterNetwork, $"o{i}").Address!));
        allocator.AddBlock(Network, IPNetwork.Parse("10.244.1.0/30"), []);

        Assert.Equal(AllocationStatus.Exhausted, allocator.Allocate(Network, AddressFamily.InterNetwork, "late").Status);
        Time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(spared, allocator.Allocate(Network, AddressFamily.InterNetwork, "late").Address);
    }
}
