using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;

namespace Overlay.Control.Tests.Ipam;

/// <summary>Single addresses: whose they are, cool-down, owners who come back, time.</summary>
public sealed class NodeAllocatorTests : NodeAllocatorLab
{
    [Fact]
    public void Allocate_SameOwnerAgain_KeepsItsAddress()
    {
        using NodeAllocator allocator = Open();
        allocator.AddBlock(Network, Block, []);

        Allocation first = allocator.Allocate(Network, AddressFamily.InterNetwork, "a");
        Allocation again = allocator.Allocate(Network, AddressFamily.InterNetwork, "a");

        Assert.Equal((AllocationStatus.Allocated, AllocationStatus.Unchanged), (first.Status, again.Status));
        Assert.Equal(first.Address, again.Address);
    }

    [Fact]
    public void Allocate_ReleasedAddress_GoesToOthersOnlyAfterItsCoolDownAcrossRestartAndClockJumps()
    {
        IPAddress address;
        using (NodeAllocator allocator = Open())
        {
            allocator.AddBlock(Network, IPNetwork.Parse("10.244.1.0/32"), []);
            address = allocator.Allocate(Network, AddressFamily.InterNetwork, "a").Address!;
            Assert.Equal(1, allocator.Release(Network, "a"));
            Assert.Equal(AllocationStatus.Exhausted, allocator.Allocate(Network, AddressFamily.InterNetwork, "b").Status);
        }
        Time.JumpWallClock(TimeSpan.FromDays(400));
        Time.Advance(TimeSpan.FromSeconds(29));

        using NodeAllocator reopened = Open();

        Assert.Equal(AllocationStatus.Exhausted, reopened.Allocate(Network, AddressFamily.InterNetwork, "b").Status);
        Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(address, reopened.Allocate(Network, AddressFamily.InterNetwork, "b").Address);
    }

    [Fact]
    public void Allocate_LastOwnerWithinTheCoolDown_GetsItsAddressBack()
    {
        using NodeAllocator allocator = Open();
        allocator.AddBlock(Network, Block, []);
        IPAddress address = allocator.Allocate(Network, AddressFamily.InterNetwork, "web-0").Address!;
        allocator.Release(Network, "web-0");
        allocator.Allocate(Network, AddressFamily.InterNetwork, "other");

        Assert.Equal(address, allocator.Allocate(Network, AddressFamily.InterNetwork, "web-0").Address);
    }

    [Fact]
    public void Allocate_SparedAddresses_AreHandedToNobodyAlsoAfterARestart()
    {
        IPAddress[] spared = [IPAddress.Parse("10.244.1.0"), IPAddress.Parse("10.244.1.7")];
        using (NodeAllocator allocator = Open()) allocator.AddBlock(Network, Block, spared);

        using NodeAllocator reopened = Open();
        Time.Advance(TimeSpan.FromMinutes(1));
        var handed = new HashSet<IPAddress>();
        for (int i = 0; ; i++)
        {
            Allocation next = AllocateWhenExtended(reopened, $"o{i}");
            if (next.Status == AllocationStatus.Exhausted) break;
            Assert.True(handed.Add(next.Address!));
        }

        Assert.Equal(62, handed.Count);
        Assert.Empty(handed.Intersect(spared));
    }

    [Fact]
    public void Allocate_TenThousandAMinuteWorth_TakesUnderAMillisecondEach()
    {
        using var allocator = new NodeAllocator(new NodeAllocatorOptions { Journal = Journal, CoolDown = TimeSpan.Zero });
        allocator.AddBlock(Network, IPNetwork.Parse("10.244.0.0/22"), []);
        var taken = new List<double>();
        for (int i = 0; i < 10_000; i++)
        {
            long start = Stopwatch.GetTimestamp();
            Allocation next = allocator.Allocate(Network, AddressFamily.InterNetwork, $"o{i}");
            taken.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            if (next.Status == AllocationStatus.Exhausted) next = AllocateWhenExtended(allocator, $"o{i}");
            Assert.Equal(AllocationStatus.Allocated, next.Status);
            if (i >= 100) allocator.Release(Network, $"o{i - 100}");
        }
        taken.Sort();

        Assert.True(taken[taken.Count / 2] < 1, $"median {taken[taken.Count / 2]} ms");
        Assert.True(taken[taken.Count * 99 / 100] < 1, $"99th percentile {taken[taken.Count * 99 / 100]} ms");
    }

    [Fact]
    public void AllocateAddress_AnyOfTheBlock_IsItsOwnersAloneAcrossRestart()
    {
        var address = IPAddress.Parse("10.244.1.57");
        using (NodeAllocator allocator = Open())
        {
            allocator.AddBlock(Network, Block, [IPAddress.Parse("10.244.1.0")]);
            Assert.Equal(AllocationStatus.Allocated, allocator.AllocateAddress(Network, address, "a", null).Status);
            Assert.Equal(AllocationStatus.Unchanged, allocator.AllocateAddress(Network, address, "a", null).Status);
            Allocation taken = allocator.AllocateAddress(Network, address, "b", null);
            Assert.Equal((AllocationStatus.Taken, true), (taken.Status, taken.Problem!.Contains("held by a", StringComparison.Ordinal)));
            Assert.Equal(AllocationStatus.NotHere, allocator.AllocateAddress(Network, IPAddress.Parse("10.244.1.0"), "b", null).Status);
            Assert.Equal(AllocationStatus.NotHere, allocator.AllocateAddress(Network, IPAddress.Parse("10.244.9.9"), "b", null).Status);
        }
        using NodeAllocator reopened = Open();

        Assert.Equal(AllocationStatus.Unchanged, reopened.AllocateAddress(Network, address, "a", null).Status);
        Time.Advance(TimeSpan.FromSeconds(31));
        IPAddress?[] others = [.. Enumerable.Range(0, 62).Select(i => reopened.Allocate(Network, AddressFamily.InterNetwork, $"o{i}").Address)];
        Assert.Equal(62, others.OfType<IPAddress>().Distinct().Count());
        Assert.DoesNotContain(address, others);
    }

    [Fact]
    public void AllocateAddress_CoolingDown_IsForItsLastOwnerOnly()
    {
        using NodeAllocator allocator = Open();
        allocator.AddBlock(Network, Block, []);
        IPAddress address = allocator.Allocate(Network, AddressFamily.InterNetwork, "old").Address!;
        allocator.Release(Network, "old");

        Assert.Equal(AllocationStatus.Taken, allocator.AllocateAddress(Network, address, "b", null).Status);
        Assert.Equal(AllocationStatus.Taken, allocator.AllocateAddress(Network, address, "b", "another").Status);
        Assert.Equal(AllocationStatus.Allocated, allocator.AllocateAddress(Network, address, "new", "old").Status);
        allocator.Release(Network, "new");
        Time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(AllocationStatus.Allocated, allocator.AllocateAddress(Network, address, "b", null).Status);
    }

    [Fact]
    public void Allocate_BurstBeyondTheWindow_IsNotCalledExhausted()
    {
        using NodeAllocator allocator = Open();
        allocator.AddBlock(Network, Block, []);

        Assert.All(Enumerable.Range(0, 64), i => Assert.Equal(AllocationStatus.Allocated, allocator.Allocate(Network, AddressFamily.InterNetwork, $"o{i}").Status));
        Assert.Equal(AllocationStatus.Exhausted, allocator.Allocate(Network, AddressFamily.InterNetwork, "late").Status);
    }

    [Fact]
    public void Allocate_AfterARestartWithinABoot_HandsOutAtOnceWhatNobodyHad()
    {
        using (NodeAllocator allocator = Open())
        {
            allocator.AddBlock(Network, IPNetwork.Parse("10.244.1.0/28"), []);
            for (int i = 0; i < 4; i++) allocator.Allocate(Network, AddressFamily.InterNetwork, $"o{i}");
            allocator.Release(Network, "o1");
        }
        using NodeAllocator reopened = Open();

        Assert.Equal(12, reopened.Available(Network, AddressFamily.InterNetwork));
        Assert.All(Enumerable.Range(4, 12), i => Assert.Equal(AllocationStatus.Allocated, reopened.Allocate(Network, AddressFamily.InterNetwork, $"o{i}").Status));
        Assert.Equal(AllocationStatus.Exhausted, reopened.Allocate(Network, AddressFamily.InterNetwork, "late").Status);
        Time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(IPAddress.Parse("10.244.1.1"), reopened.Allocate(Network, AddressFamily.InterNetwork, "late").Address);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Allocate_AfterABootOfTheHost_CoolsDownOnceWhatTheJournalMayNotKnow(bool restartedAgain)
    {
        using (NodeAllocator allocator = Open("first"))
        {
            allocator.AddBlock(Network, IPNetwork.Parse("10.244.1.0/28"), []);
            allocator.Allocate(Network, AddressFamily.InterNetwork, "a");
        }
        NodeAllocator reopened = Open("second");
        Assert.Equal((0, 15), (reopened.Available(Network, AddressFamily.InterNetwork), reopened.Free(Network, AddressFamily.InterNetwork)));
        Time.Advance(TimeSpan.FromSeconds(29));
        Assert.Equal(AllocationStatus.Exhausted, reopened.Allocate(Network, AddressFamily.InterNetwork, "b").Status);
        if (restartedAgain)
        {
            reopened.Dispose();
            reopened = Open("second");
            Assert.Equal(AllocationStatus.Exhausted, reopened.Allocate(Network, AddressFamily.InterNetwork, "b").Status);
        }
        Time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal(15, reopened.Available(Network, AddressFamily.InterNetwork));
        Assert.Equal(AllocationStatus.Allocated, reopened.Allocate(Network, AddressFamily.InterNetwork, "b").Status);
        reopened.Dispose();
    }

    [Theory]
    [InlineData("first")]
    [InlineData("second")]
    public void Allocate_LastOwnerAfterARestartOrABoot_GetsItsAddressBack(string boot)
    {
        IPAddress address;
        using (NodeAllocator allocator = Open("first"))
        {
            allocator.AddBlock(Network, Block, []);
            allocator.Allocate(Network, AddressFamily.InterNetwork, "web-0");
            address = allocator.Allocate(Network, AddressFamily.InterNetwork, "web-1").Address!;
            allocator.Release(Network, "web-0");
            allocator.Release(Network, "web-1");
        }
        using NodeAllocator reopened = Open(boot);
        Assert.NotEqual(address, reopened.Allocate(Network, AddressFamily.InterNetwork, "other").Address);

        Assert.Equal(address, reopened.Allocate(Network, AddressFamily.InterNetwork, "web-1").Address);
    }
}
