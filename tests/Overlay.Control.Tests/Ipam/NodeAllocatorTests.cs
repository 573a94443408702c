using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;
using Overlay.Testing;

namespace Overlay.Control.Tests.Ipam;

public sealed class NodeAllocatorTests : IDisposable
{
    private const string Network = "pods";

    private static readonly IPNetwork Block = IPNetwork.Parse("10.244.1.0/26");

    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-ipam-").FullName;
    private readonly ManualTime _time = new();

    public void Dispose() => Directory.Delete(_folder, true);

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
        _time.JumpWallClock(TimeSpan.FromDays(400));
        _time.Advance(TimeSpan.FromSeconds(29));

        using NodeAllocator reopened = Open();

        Assert.Equal(AllocationStatus.Exhausted, reopened.Allocate(Network, AddressFamily.InterNetwork, "b").Status);
        _time.Advance(TimeSpan.FromSeconds(1));
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
        _time.Advance(TimeSpan.FromMinutes(1));
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
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Empty(allocator.CollectLeaks(interfaces, new HashSet<string> { "listed", "back" }));
        _time.Advance(TimeSpan.FromMinutes(1));

        NodeAllocator.Held only = Assert.Single(allocator.CollectLeaks(interfaces, new HashSet<string> { "listed" }));
        Assert.Equal((leaked, "leaked"), (only.Address, only.Owner));
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
        _time.Advance(TimeSpan.FromSeconds(30));
        Assert.False(allocator.WantsBlock(Network, AddressFamily.InterNetwork));
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
        _time.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(spared, allocator.Allocate(Network, AddressFamily.InterNetwork, "late").Address);
    }

    /// <summary>Twenty journals' worth of allocations and releases, over which the journal is rewritten again and again.</summary>
    [Fact]
    public void Allocate_WhileTheJournalIsRewritten_LosesNothing()
    {
        var held = new Dictionary<string, IPAddress>();
        using (NodeAllocator allocator = new(new NodeAllocatorOptions { Journal = Journal, CoolDown = TimeSpan.Zero }))
        {
            allocator.AddBlock(Network, IPNetwork.Parse("10.244.0.0/22"), []);
            string padding = new('x', 1000);
            for (int i = 0; i < 20_000; i++)
            {
                held[$"{padding}{i}"] = AllocateWhenExtended(allocator, $"{padding}{i}").Address!;
                if (i < 200) continue;
                allocator.Release(Network, $"{padding}{i - 200}");
                held.Remove($"{padding}{i - 200}");
            }
        }
        Assert.True(new FileInfo(Journal).Length < 12 << 20, $"the journal has {new FileInfo(Journal).Length} bytes");
        using NodeAllocator reopened = Open();

        Assert.Equal(held.OrderBy(each => each.Key), reopened.All.Select(each => KeyValuePair.Create(each.Owner, each.Address)).OrderBy(each => each.Key));
    }

    [Fact]
    public void Allocate_DiskFull_IsRefusedWithTheReasonUntilThereIsRoom()
    {
        string disk = Directory.CreateTempSubdirectory("ovt-disk-").FullName;
        ProgramRun.Check("mount", "-t", "tmpfs", "-o", "size=64k", "none", disk);
        try
        {
            using (var allocator = new NodeAllocator(new NodeAllocatorOptions { Journal = $"{disk}/journal" }, _time))
            {
                allocator.AddBlock(Network, IPNetwork.Parse("10.244.0.0/22"), []);
                Assert.NotEqual(0, ProgramRun.Start("dd", "if=/dev/zero", $"of={disk}/filler", "bs=1024").ExitCode);
                var held = new List<IPAddress>();
                Allocation refused;
                for (int i = 0; (refused = AllocateWhenExtended(allocator, $"o{i}")).Status == AllocationStatus.Allocated; i++) held.Add(refused.Address!);
                Assert.Equal(AllocationStatus.JournalFailed, refused.Status);
                Assert.Contains("cannot be", refused.Problem, StringComparison.Ordinal);
                File.Delete($"{disk}/filler");
                Allocation again = default;
                Assert.True(SpinWait.SpinUntil(() => (again = allocator.Allocate(Network, AddressFamily.InterNetwork, "late")).Status == AllocationStatus.Allocated, TimeSpan.FromSeconds(20)));
                Assert.DoesNotContain(again.Address, held);
            }
            using var reopened = new NodeAllocator(new NodeAllocatorOptions { Journal = $"{disk}/journal" }, _time);
            Assert.Contains(reopened.All, each => each.Owner == "late");
        }
        finally
        {
            ProgramRun.Check("umount", disk);
            Directory.Delete(disk);
        }
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
            _time.Advance(TimeSpan.FromSeconds(30));
            Assert.Equal(AllocationStatus.Allocated, reopened.Allocate(Network, AddressFamily.InterNetwork, "a").Status);
        }
        using NodeAllocator again = Open();
        _time.Advance(TimeSpan.FromSeconds(30));

        Assert.Equal(AllocationStatus.Allocated, again.Allocate(Network, AddressFamily.InterNetwork, "b").Status);
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
        _time.Advance(TimeSpan.FromSeconds(30));
        IPAddress[] handed = [.. Enumerable.Range(0, 64).Select(i => reopened.Allocate(Network, AddressFamily.InterNetwork, $"o{i}").Address).OfType<IPAddress>()];
        reopened.AddBlock(Network, Block, []);
        _time.Advance(TimeSpan.FromSeconds(30));
        IPAddress[] later = [.. Enumerable.Range(0, 64).Select(i => reopened.Allocate(Network, AddressFamily.InterNetwork, $"p{i}").Address).OfType<IPAddress>()];

        Assert.Equal(64 - 2 - 8, handed.Length);
        Assert.DoesNotContain(handed, part.Contains);
        Assert.Equal(8, later.Count(part.Contains));
        Assert.Null(reopened.OfferPart(Network, AddressFamily.InterNetwork));
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
    public void Read_AnyAddressesAsTheyWereWritten_AreTheSame() => Seeded.Check(200, random =>
    {
        UInt128 first = random.Next(2) == 0 ? (UInt128)0xffff_0a00_0000 : (UInt128)0xfd00 << 112;
        HashSet<UInt128> addresses = [.. Enumerable.Range(0, random.Next(60)).Select(_ => first + (UInt128)random.Next(100))];

        string[] texts = AddressRanges.Write(addresses);

        Assert.True(addresses.SetEquals(AddressRanges.Read(texts)));
        Assert.Equal(addresses.Count(each => !addresses.Contains(each - 1)), texts.Length);
    });

    [Fact]
    public void Open_JournalDamagedInItsMiddle_IsRefused()
    {
        using (NodeAllocator allocator = Open())
        {
            allocator.AddBlock(Network, IPNetwork.Parse("10.244.0.0/24"), []);
            for (int i = 0; i < 100; i++) AllocateWhenExtended(allocator, $"o{i}");
        }
        using (FileStream file = File.OpenWrite(Journal))
        {
            file.Position = 40;
            file.Write([0xff, 0xff]);
        }

        JournalException refused = Assert.Throws<JournalException>(Open);

        Assert.Contains("is damaged at byte 0", refused.Message, StringComparison.Ordinal);
    }

    /// <summary>
    /// Allocations and releases at random, cut off by crashes of the process, which lose nothing, and of the host, which lose what was not
    /// flushed and begin another boot. Nobody may get an address that another has, or had within the cool-down.
    /// </summary>
    [Fact]
    public void Allocate_AnySequenceWithCrashes_GivesNoAddressTwice()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        var held = new Dictionary<IPAddress, string>();
        var released = new Dictionary<IPAddress, (TimeSpan At, string Owner)>();
        TimeSpan now = TimeSpan.Zero;
        NodeAllocator allocator = Open();
        allocator.AddBlock(Network, Block, []);
        allocator.AddBlock(Network, IPNetwork.Parse("10.244.2.0/26"), []);
        int owners = 0;
        for (int step = 0; step < 3000; step++)
        {
            int what = random.Next(100);
            if (what < 55)
            {
                string owner = $"o{owners++}";
                Allocation next = allocator.Allocate(Network, AddressFamily.InterNetwork, owner);
                if (next.Address is not { } address) continue;
                Assert.True(!held.TryGetValue(address, out string? other), $"seed {seed}, step {step}: {address} is {other}'s");
                Assert.True(
                    !released.TryGetValue(address, out (TimeSpan At, string Owner) last) || now - last.At >= TimeSpan.FromSeconds(30),
                    $"seed {seed}, step {step}: {address} did not cool down");
                held.Add(address, owner);
            }
            else if (what < 90 && held.Count > 0)
            {
                (IPAddress address, string owner) = held.ElementAt(random.Next(held.Count));
                Assert.Equal(1, allocator.Release(Network, owner));
                held.Remove(address);
                released[address] = (now, owner);
            }
            else if (what < 97)
            {
                TimeSpan passed = TimeSpan.FromSeconds(random.Next(1, 20));
                _time.Advance(passed);
                now += passed;
            }
            else
            {
                allocator.Dispose();
                allocator = Open();
                Assert.Equal(held.OrderBy(each => each.Value), allocator.All.Select(each => KeyValuePair.Create(each.Address, each.Owner)).OrderBy(each => each.Value));
            }
        }
        allocator.Dispose();
    }

    /// <summary>Any prefix of the journal from its last flush on, as a crash of the host leaves it, opens, and loses only what came after.</summary>
    [Fact]
    public void Open_JournalCutAnywhere_KeepsWhatIsBeforeTheCut()
    {
        using (NodeAllocator allocator = Open())
        {
            allocator.AddBlock(Network, Block, []);
            for (int i = 0; i < 10; i++) allocator.Allocate(Network, AddressFamily.InterNetwork, $"o{i}");
            allocator.Release(Network, "o3");
        }
        byte[] whole = File.ReadAllBytes(Journal);
        int before = 0;
        for (int length = 0; length <= whole.Length; length++)
        {
            int records = AllocationJournal.Parse(whole.AsSpan(0, length), "journal", out int sound).Count;
            Assert.True(records >= before && sound <= length);
            before = records;
        }
        Assert.Equal(13, before);
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
        _time.Advance(TimeSpan.FromSeconds(31));
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
        _time.Advance(TimeSpan.FromSeconds(30));
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

    private string Journal => Path.Combine(_folder, "journal");

    private NodeAllocator Open() => new(new NodeAllocatorOptions { Journal = Journal }, _time);

    /// <summary>A burst can reach the end of the window before its extension is on the disk.</summary>
    private static Allocation AllocateWhenExtended(NodeAllocator allocator, string owner)
    {
        Allocation next = default;
        bool done = SpinWait.SpinUntil(
            () => (next = allocator.Allocate(Network, AddressFamily.InterNetwork, owner)).Status != AllocationStatus.Exhausted, TimeSpan.FromSeconds(1));
        Assert.True(done || next.Status == AllocationStatus.Exhausted);
        return next;
    }
}
