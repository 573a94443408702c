using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Overlay.Control.Ipam;
using Overlay.Testing;

namespace Overlay.Control.Tests.Ipam;

/// <summary>What is on the disk: rewritten, full, damaged, cut.</summary>
public sealed class AllocationJournalTests : NodeAllocatorLab
{
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

        JournalException refused = Assert.Throws<JournalException>(() => Open());

        Assert.Contains("is damaged at byte 0", refused.Message, StringComparison.Ordinal);
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
        Assert.Equal(14, before);
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
        using var disk = new SmallDisk(kilobytes: 64);
        using (var allocator = new NodeAllocator(new NodeAllocatorOptions { Journal = $"{disk.Folder}/journal" }, Time))
        {
            allocator.AddBlock(Network, IPNetwork.Parse("10.244.0.0/22"), []);
            disk.Fill();
            var held = new List<IPAddress>();
            Allocation refused;
            for (int i = 0; (refused = AllocateWhenExtended(allocator, $"o{i}")).Status == AllocationStatus.Allocated; i++) held.Add(refused.Address!);
            Assert.Equal(AllocationStatus.JournalFailed, refused.Status);
            Assert.Contains("cannot be", refused.Problem, StringComparison.Ordinal);
            disk.MakeRoom();
            Allocation again = default;
            Assert.True(SpinWait.SpinUntil(() => (again = allocator.Allocate(Network, AddressFamily.InterNetwork, "late")).Status == AllocationStatus.Allocated, TimeSpan.FromSeconds(20)));
            Assert.DoesNotContain(again.Address, held);
        }
        using var reopened = new NodeAllocator(new NodeAllocatorOptions { Journal = $"{disk.Folder}/journal" }, Time);
        Assert.Contains(reopened.All, each => each.Owner == "late");
    }

    [Fact]
    public void AddBlock_MoreSparedAddressesThanARecordHolds_HandsOutNoneOfThemAlsoAfterARestart()
    {
        var wide = IPNetwork.Parse("10.245.100.0/23");
        IPAddress[] spared = [.. Enumerable.Range(0, 256).Select(i => IPAddress.Parse($"10.245.{100 + (i / 128)}.{i % 128 * 2}"))];
        var got = new HashSet<IPAddress>();
        using (NodeAllocator allocator = Open())
        {
            allocator.AddBlock(Network, wide, spared);
            for (int i = 0; i < 100; i++) Assert.True(got.Add(AllocateWhenExtended(allocator, $"a{i}").Address!));
        }
        using (NodeAllocator reopened = Open())
        {
            Time.Advance(TimeSpan.FromSeconds(30));
            for (int i = 0; i < 156; i++) Assert.True(got.Add(AllocateWhenExtended(reopened, $"b{i}").Address!));
            Assert.Equal(AllocationStatus.Exhausted, reopened.Allocate(Network, AddressFamily.InterNetwork, "late").Status);
        }

        Assert.Empty(got.Intersect(spared));
        Assert.All(got, address => Assert.True(wide.Contains(address)));
    }

    /// <summary>A crash among the records of one block: it counts only with the last of them.</summary>
    [Fact]
    public void Open_SparedAddressesWithoutTheRecordOfTheirBlock_AreNoBlock()
    {
        using (NodeAllocator allocator = Open())
        {
            allocator.AddBlock(Network, IPNetwork.Parse("10.245.100.0/24"), [.. Enumerable.Range(0, 100).Select(i => IPAddress.Parse($"10.245.100.{i * 2}"))]);
        }
        byte[] whole = File.ReadAllBytes(Journal);
        int records = AllocationJournal.Parse(whole, "journal", out _).TakeWhile(record => record.Kind != JournalKind.Block).Count();
        int length = Enumerable.Range(0, whole.Length).Last(cut => AllocationJournal.Parse(whole.AsSpan(0, cut), "journal", out _).Count == records);
        File.WriteAllBytes(Journal, whole[..length]);

        using NodeAllocator reopened = Open();

        Assert.True(records > 2);
        Assert.Empty(reopened.Blocks);
    }

    [Fact]
    public void Open_RecordOfANewerVersion_IsRefusedWithTheRemedy()
    {
        byte[] body = "{\"Kind\":\"Renumbered\"}"u8.ToArray();
        byte[] record = new byte[8 + body.Length];
        BinaryPrimitives.WriteInt32LittleEndian(record, body.Length);
        SHA256.HashData(body).AsSpan(0, 4).CopyTo(record.AsSpan(4));
        body.CopyTo(record, 8);
        File.WriteAllBytes(Journal, record);

        JournalException refused = Assert.Throws<JournalException>(() => Open());

        Assert.Contains("is of a newer version of overlayd: use that one", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_DiskFullAfterABoot_RefusesAddressesUntilThereIsRoomAndThenCoolsThemDown()
    {
        using var disk = new SmallDisk(kilobytes: 64);
        var options = new NodeAllocatorOptions { Journal = $"{disk.Folder}/journal" };
        using (var allocator = new NodeAllocator(options, new BootClock(Time, "first")))
        {
            allocator.AddBlock(Network, Block, []);
            // The journal ends near the end of a page, so that the mark of the next boot needs another one.
            for (int i = 0; new FileInfo(options.Journal).Length % 4096 < 4096 - 300; i++) AllocateWhenExtended(allocator, $"o{i}");
        }
        disk.Fill();
        using var full = new NodeAllocator(options, new BootClock(Time, new string('b', 400)));
        Assert.Equal(AllocationStatus.JournalFailed, full.Allocate(Network, AddressFamily.InterNetwork, "late").Status);
        Time.Advance(TimeSpan.FromSeconds(30));
        disk.MakeRoom();

        Assert.True(SpinWait.SpinUntil(() => full.Allocate(Network, AddressFamily.InterNetwork, "late").Status == AllocationStatus.Allocated, TimeSpan.FromSeconds(20)));
    }
}
