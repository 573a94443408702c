using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Overlay.Control.Ipam;
using Overlay.Testing;

namespace Overlay.Control.Tests.Ipam;

/// <summary>Allocations and releases at random, with crashes.</summary>
public sealed class CrashSequenceTests : NodeAllocatorLab
{
    /// <summary>
    /// Allocations and releases at random, cut off by crashes of the process, which lose nothing, and of the host, which lose what was not
    /// flushed and begin another boot. Nobody may get an address that another has, or had within the cool-down; and in the end every address can be had.
    /// </summary>
    [Fact]
    public void Allocate_AnySequenceWithCrashes_GivesNoAddressTwiceAndLosesNone() => Seeded.Check(1, random =>
    {
        var held = new Dictionary<IPAddress, string>();
        var released = new Dictionary<IPAddress, (TimeSpan At, string Owner)>();
        TimeSpan now = TimeSpan.Zero;
        int boots = 0;
        NodeAllocator allocator = Open("boot-0");
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
                Assert.True(!held.TryGetValue(address, out string? other), $"step {step}: {address} is {other}'s");
                Assert.True(
                    !released.TryGetValue(address, out (TimeSpan At, string Owner) last) || now - last.At >= TimeSpan.FromSeconds(30),
                    $"step {step}: {address} did not cool down");
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
                Time.Advance(passed);
                now += passed;
            }
            else if (what < 99)
            {
                allocator.Dispose();
                allocator = Open($"boot-{boots}");
                Assert.Equal(held.OrderBy(each => each.Value), allocator.All.Select(each => KeyValuePair.Create(each.Address, each.Owner)).OrderBy(each => each.Value));
            }
            else
            {
                allocator.Dispose();
                LoseWhatWasNotFlushed(random);
                allocator = Open($"boot-{++boots}");
                var left = allocator.All.ToDictionary(each => each.Address, each => each.Owner);
                foreach ((IPAddress address, string owner) in held.Where(each => !left.TryGetValue(each.Key, out string? now) || now != each.Value)) released[address] = (now, owner);
                held = left;
            }
        }
        Time.Advance(TimeSpan.FromSeconds(30));
        int free = 0;
        while (AllocateWhenExtended(allocator, $"last-{free}").Address is { } address)
        {
            Assert.True(held.TryAdd(address, ""), $"{address} is {held.GetValueOrDefault(address)}'s");
            free++;
        }
        Assert.True(held.Count == 128, $"{128 - held.Count} addresses are lost after {boots} boots");
        allocator.Dispose();
    });

    /// <summary>Cuts the journal somewhere behind the last record that was surely flushed: those of blocks and windows are before they count.</summary>
    private void LoseWhatWasNotFlushed(Random random)
    {
        byte[] whole = File.ReadAllBytes(Journal);
        int sure = 0;
        for (int at = 0; at < whole.Length;)
        {
            int end = at + 8 + BinaryPrimitives.ReadInt32LittleEndian(whole.AsSpan(at));
            JournalRecord record = AllocationJournal.Parse(whole.AsSpan(at, end - at), Journal, out _).Single();
            if (record.Kind is JournalKind.Block or JournalKind.Window) sure = end;
            at = end;
        }
        File.WriteAllBytes(Journal, whole[..random.Next(sure, whole.Length + 1)]);
    }
}
