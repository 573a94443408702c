using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;
using Overlay.Testing;

namespace Overlay.Control.Tests.Ipam;

/// <summary>Blocks that are leased: addresses only as long as they are certainly this node's.</summary>
public sealed class NodeConfirmationTests : NodeAllocatorLab
{
    [Fact]
    public void Allocate_ConfirmationRunOut_IsRefusedWithBlockAndTimeAndGoesOnAfterTheNext()
    {
        using NodeAllocator allocator = OpenLeased();
        allocator.AddBlock(Network, Block, []);
        Assert.Equal(AllocationStatus.Unconfirmed, Allocate(allocator, "early").Status);
        allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 3600);
        Allocation first = Allocate(allocator, "a");
        Time.JumpWallClock(TimeSpan.FromDays(-400));
        Time.Advance(TimeSpan.FromSeconds(3599));
        Assert.Equal((AllocationStatus.Allocated, null), (Allocate(allocator, "b").Status, allocator.Doubt));
        Time.Advance(TimeSpan.FromSeconds(1));

        Allocation refused = Allocate(allocator, "c");
        Allocation certain = allocator.AllocateAddress(Network, IPAddress.Parse("10.244.1.50"), "c", null);

        Assert.Equal((AllocationStatus.Unconfirmed, AllocationStatus.Unconfirmed), (refused.Status, certain.Status));
        Assert.Equal(
            $"no controller has confirmed this node's blocks for 3600 s, and after 3600 s others may get them: no new address of {Block} is handed out until a controller is reached; pods that run go on",
            refused.Problem);
        Assert.Equal(first.Address, Allocate(allocator, "a").Address);
        Assert.Equal(1, allocator.Release(Network, "b"));
        Assert.Equal(AllocationStatus.Unconfirmed, Allocate(allocator, "b").Status);
        allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 3600);
        Assert.Equal(AllocationStatus.Allocated, Allocate(allocator, "c").Status);
    }

    [Theory]
    [InlineData("first", 9, AllocationStatus.Allocated)]
    [InlineData("first", 10, AllocationStatus.Unconfirmed)]
    [InlineData("second", 0, AllocationStatus.Unconfirmed)]
    public void Allocate_AfterARestart_GoesByTheLastConfirmationOfThisBoot(string boot, int secondsLater, AllocationStatus status)
    {
        using (NodeAllocator allocator = OpenLeased("first"))
        {
            allocator.AddBlock(Network, Block, []);
            allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 3600);
            Time.Advance(TimeSpan.FromSeconds(5));
            allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 10);
            // What was asked for before that says nothing new.
            allocator.ConfirmBlocks(allocator.Clock.Milliseconds - 1, 3600);
        }
        Time.Advance(TimeSpan.FromSeconds(secondsLater));
        using NodeAllocator reopened = OpenLeased(boot);

        Assert.Equal(status, Allocate(reopened, "a").Status);
        Assert.Equal(boot == "second", reopened.Doubt?.Contains("since the host booted", StringComparison.Ordinal) ?? false);
    }

    [Fact]
    public void Allocate_AfterTheJournalWasRewritten_KnowsTheLastConfirmation()
    {
        using (NodeAllocator allocator = OpenLeased())
        {
            allocator.AddBlock(Network, Block, []);
            allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 3600);
            // Beyond its greatest length it is rewritten, which only the last confirmation outlives.
            string padding = new('x', 3000);
            long length = 0;
            Assert.True(SpinWait.SpinUntil(
                () =>
                {
                    Allocate(allocator, padding);
                    allocator.Release(Network, padding);
                    long before = length;
                    return (length = new FileInfo(Journal).Length) < before;
                },
                TimeSpan.FromSeconds(60)));
        }
        using NodeAllocator reopened = OpenLeased();

        Assert.Equal(AllocationStatus.Allocated, Allocate(reopened, "a").Status);
    }

    [Fact]
    public void Keep_AddressInUseWhileNothingIsConfirmed_IsHandedToNobodyLater()
    {
        using NodeAllocator allocator = OpenLeased();
        allocator.AddBlock(Network, IPNetwork.Parse("10.244.1.0/30"), []);
        allocator.Keep(Network, IPAddress.Parse("10.244.1.2"), "unknown/10.244.1.2");
        allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 60);

        string[] handed = [.. Enumerable.Range(0, 4).Select(i => Allocate(allocator, $"o{i}").Address).OfType<IPAddress>().Select(address => $"{address}").Order()];

        Assert.Equal(["10.244.1.0", "10.244.1.1", "10.244.1.3"], handed);
    }

    [Fact]
    public void ConfirmBlocks_DiskFull_CountsForThisProcessAndIsWrittenWhenThereIsRoom()
    {
        using var disk = new SmallDisk(kilobytes: 64);
        var options = new NodeAllocatorOptions { Journal = $"{disk.Folder}/journal", IsLeased = true };
        using (var allocator = new NodeAllocator(options, Time))
        {
            allocator.AddBlock(Network, Block, []);
            allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 30);
            disk.Fill();
            JournalException? failed = null;
            // The page that the journal ends in has room for some.
            for (int i = 0; failed is null; i++)
            {
                Time.Advance(TimeSpan.FromSeconds(1));
                failed = Record.Exception(() => allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 60)) as JournalException;
                Assert.True(i < 1000);
            }
            Assert.Null(allocator.Doubt);
            Assert.Throws<JournalException>(() => allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 60));
            disk.MakeRoom();
            allocator.ConfirmBlocks(allocator.Clock.Milliseconds, 60);
        }
        Time.Advance(TimeSpan.FromSeconds(59));
        using var reopened = new NodeAllocator(options, Time);

        Assert.Null(reopened.Doubt);
    }

    private static Allocation Allocate(NodeAllocator allocator, string owner) => allocator.Allocate(Network, AddressFamily.InterNetwork, owner);

    private NodeAllocator OpenLeased(string? boot = null) => new(new NodeAllocatorOptions { Journal = Journal, IsLeased = true }, new BootClock(Time, boot));
}
