using System.Security.Cryptography;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.Tests;

/// <summary>Claims from their making to their end, with real file systems on real loop devices.</summary>
public sealed class LifeTests(DriverProcess driver) : IClassFixture<DriverProcess>
{
    [Theory]
    [InlineData("ext4", 48, "images", true)]
    [InlineData("ext4", 48, "fast", false)]
    [InlineData("xfs", 320, "fast", true)]
    [InlineData("btrfs", 256, "fast", false)]
    public async Task Claim_ThroughItsWholeLife_KeepsEveryByte(string type, int size, string pool, bool isReserved)
    {
        VolumeCapability capability = Calls.Mount(type);
        CreateVolumeRequest request = Calls.Request($"life-{type}-{pool}", capability, size, pool);
        if (isReserved) request.Parameters["reservation"] = "reserved";
        string volume = await driver.CreateIdAsync(request);
        string first = await driver.UseAsync(volume, capability, "pod-1");
        byte[] data = RandomNumberGenerator.GetBytes(5 << 20);
        File.WriteAllBytes(driver.In($"{first}/data"), data);
        Assert.Equal(type, driver.Check("stat", "--file-system", "--format", "%T", first).Output.Trim() is "ext2/ext3" ? "ext4" : driver.Check("stat", "--file-system", "--format", "%T", first).Output.Trim());

        // To another pod of the node.
        await driver.ReleaseAsync(volume, "pod-1");
        Assert.False(Directory.Exists(driver.In(first)));
        Assert.Empty(driver.Mounts());
        string second = await driver.UseAsync(volume, capability, "pod-2");
        Assert.Equal(data, File.ReadAllBytes(driver.In($"{second}/data")));

        // A snapshot taken in use is of that moment.
        Snapshot snapshot = await driver.SnapshotAsync($"snap-{type}-{pool}", volume);
        Assert.True(snapshot.ReadyToUse);
        File.WriteAllBytes(driver.In($"{second}/data"), new byte[1 << 20]);
        byte[] later = RandomNumberGenerator.GetBytes(1 << 20);
        File.WriteAllBytes(driver.In($"{second}/later"), later);

        string restored = await driver.CreateIdAsync(Calls.Request($"restored-{type}-{pool}", capability, size * 2, pool).From(snapshot: snapshot.SnapshotId));
        string third = await driver.UseAsync(restored, capability, "pod-3");
        Assert.Equal(data, File.ReadAllBytes(driver.In($"{third}/data")));
        Assert.False(File.Exists(driver.In($"{third}/later")));
        Assert.True(BytesOf(await driver.StatsAsync(restored, third)).Total > size * Calls.MiB, "a larger restore has a larger file system");

        string clone = await driver.CreateIdAsync(Calls.Request($"clone-{type}-{pool}", capability, size, pool).From(volume: volume));
        string fourth = await driver.UseAsync(clone, capability, "pod-4");
        Assert.Equal(later, File.ReadAllBytes(driver.In($"{fourth}/later")));

        // The source is in use, and so are its copies, all with one UUID.
        Assert.Equal(later, File.ReadAllBytes(driver.In($"{second}/later")));
        await driver.ReleaseAsync(volume, "pod-2");
        await driver.ReleaseAsync(restored, "pod-3");
        await driver.ReleaseAsync(clone, "pod-4");
        foreach (string one in new[] { volume, restored, clone }) await driver.DeleteAsync(one);
        await driver.DeleteSnapshotAsync(snapshot.SnapshotId);
        await driver.DeleteSnapshotAsync(snapshot.SnapshotId);
        Assert.Empty(driver.Loops());
        Assert.False(File.Exists($"{driver.Pool}/{volume}.img"));
    }

    [Theory]
    [InlineData("xfs", 320)]
    [InlineData("btrfs", 256)]
    [InlineData("ext4", 48)]
    [InlineData("block", 32)]
    public async Task Expansion_OfAVolumeInUse_ReachesThePod(string kind, int size)
    {
        VolumeCapability capability = Calls.Of(kind);
        string volume = await driver.CreateIdAsync(Calls.Request($"grow-{kind}", capability, size));
        string target = await driver.UseAsync(volume, capability);
        long wanted = (size * 2 * Calls.MiB) + 1;

        ControllerExpandVolumeResponse grown = await driver.ExpandAsync(volume, wanted);
        Assert.Equal((wanted, true), (grown.CapacityBytes, grown.NodeExpansionRequired));
        Assert.Equal(wanted, (await driver.ExpandAsync(volume, wanted)).CapacityBytes);
        await Calls.RefusedAsync(GrpcStatusCode.OutOfRange, driver.ExpandAsync(volume, 0, 4096));
        if (kind == "ext4")
        {
            // The kernel lets only CAP_SYS_RESOURCE grow it in place, which not every machine has to give.
            try
            {
                await driver.ExpandNodeAsync(volume, target, wanted);
            }
            catch (GrpcException exception)
            {
                Assert.Equal(GrpcStatusCode.FailedPrecondition, exception.Status);
                await driver.ReleaseAsync(volume);
                target = await driver.UseAsync(volume, capability);
            }
        }
        Assert.Equal(wanted, (await driver.ExpandNodeAsync(volume, target, wanted)).CapacityBytes);
        Assert.True(BytesOf(await driver.StatsAsync(volume, target)).Total > size * 3 / 2 * Calls.MiB);

        await driver.ReleaseAsync(volume);
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task Expansion_OfAnExt4ThatTheKernelDoesNotGrowInPlace_TellsTheRemedyAndIsDoneByTheNextStaging()
    {
        // Without CAP_SYS_RESOURCE the kernel refuses, as it does in a container that has none.
        await using DriverProcess lesser = await DriverProcess.StartAsync(one => one.Capabilities = one.Capabilities.Replace(",+sys_resource", "", StringComparison.Ordinal));
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await lesser.CreateIdAsync(Calls.Request("grow-later", capability, 48));
        string target = await lesser.UseAsync(volume, capability);
        File.WriteAllText(lesser.In($"{target}/file"), "kept");
        await lesser.ExpandAsync(volume, 96 * Calls.MiB);

        GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, lesser.ExpandNodeAsync(volume, target, 96 * Calls.MiB));
        Assert.Contains("it grows when it is staged the next time: delete its pods", refused.Message, StringComparison.Ordinal);
        Assert.InRange(BytesOf(await lesser.StatsAsync(volume, target)).Total, 1, 48 * Calls.MiB);
        Assert.Equal("kept", File.ReadAllText(lesser.In($"{target}/file")));

        await lesser.ReleaseAsync(volume);
        await lesser.UseAsync(volume, capability);
        Assert.Equal(96 * Calls.MiB, (await lesser.ExpandNodeAsync(volume, target, 96 * Calls.MiB)).CapacityBytes);
        Assert.InRange(BytesOf(await lesser.StatsAsync(volume, target)).Total, 72 * Calls.MiB, 96 * Calls.MiB);
        Assert.Equal("kept", File.ReadAllText(lesser.In($"{target}/file")));
        await lesser.ReleaseAsync(volume);
        await lesser.DeleteAsync(volume);
    }

    [Fact]
    public async Task Publication_ForReaders_CannotBeWritten()
    {
        VolumeCapability capability = Calls.Mount("ext4", Mode.SingleNodeMultiWriter);
        string volume = await driver.CreateIdAsync(Calls.Request("readers", capability, 32));
        string writer = await driver.UseAsync(volume, capability, "writer");
        await driver.PublishAsync(volume, driver.Target(volume, "reader"), capability, isReadOnly: true);
        string reader = driver.Target(volume, "reader");

        File.WriteAllText(driver.In($"{writer}/file"), "text");
        Assert.Equal("text", File.ReadAllText(driver.In($"{reader}/file")));
        Assert.Contains("Read-only file system", driver.Run("touch", $"{reader}/other").Errors, StringComparison.Ordinal);

        await driver.UnpublishAsync(volume, reader);
        await driver.ReleaseAsync(volume, "writer");
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task BlockVolume_ForAWriterAndAReader_IsWrittenByTheWriterOnly()
    {
        VolumeCapability capability = Calls.Block(Mode.SingleNodeMultiWriter);
        string volume = await driver.CreateIdAsync(Calls.Request("raw", capability, 8));
        string writer = await driver.UseAsync(volume, capability, "writer");
        string reader = driver.Target(volume, "reader");
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, reader, capability, staging: $"{driver.Folder}/elsewhere"));
        await driver.PublishAsync(volume, reader, capability, isReadOnly: true);
        await driver.PublishAsync(volume, reader, capability, isReadOnly: true);

        driver.Check("sh", "-c", $"printf volume | dd of={writer} conv=fsync status=none");
        Assert.Equal("volume", driver.Check("sh", "-c", $"dd if={reader} iflag=direct bs=4096 count=1 status=none | head -c 6").Output);
        Assert.NotEqual(0, driver.Run("sh", "-c", $"printf hostile | dd of={reader} conv=fsync status=none").ExitCode);
        Assert.Equal("volume", driver.Check("sh", "-c", $"head -c 6 {writer}").Output);
        NodeGetVolumeStatsResponse stats = await driver.StatsAsync(volume, writer);
        Assert.Equal([(VolumeUsage.Types.Unit.Bytes, 8 * Calls.MiB, 0L)], stats.Usage.Select(usage => (usage.Unit, usage.Total, usage.Used)));

        await driver.UnpublishAsync(volume, reader);
        Assert.False(File.Exists(reader));
        Assert.Single(driver.Loops());
        await driver.ReleaseAsync(volume, "writer");
        Assert.Empty(driver.Loops());
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task StatefulSet_WhosePodsComeBack_FindEachItsOwnData()
    {
        VolumeCapability capability = Calls.Mount("ext4", Mode.SingleNodeSingleWriter);
        string[] volumes = [await driver.CreateIdAsync(Calls.Request("data-web-0", capability, 32)), await driver.CreateIdAsync(Calls.Request("data-web-1", capability, 32))];
        for (int round = 0; round < 2; round++)
        {
            for (int pod = 0; pod < 2; pod++)
            {
                string target = await driver.UseAsync(volumes[pod], capability, $"web-{pod}-{round}");
                if (round == 0) File.WriteAllText(driver.In($"{target}/name"), $"web-{pod}");
                Assert.Equal($"web-{pod}", File.ReadAllText(driver.In($"{target}/name")));
            }
            for (int pod = 0; pod < 2; pod++) await driver.ReleaseAsync(volumes[pod], $"web-{pod}-{round}");
        }

        // Retain: nobody asks to delete, and the image stays; Delete: it is gone, and its space is free.
        await driver.DeleteAsync(volumes[0]);
        Assert.Equal((false, true), (File.Exists($"{driver.Pool}/{volumes[0]}.img"), File.Exists($"{driver.Pool}/{volumes[1]}.img")));
        await driver.DeleteAsync(volumes[1]);
    }

    [Fact]
    public async Task NodeGetVolumeStats_OfAnImageThatWasReplaced_TellsOfIt()
    {
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await driver.CreateIdAsync(Calls.Request("condition", capability, 32));
        string target = await driver.UseAsync(volume, capability);
        NodeGetVolumeStatsResponse sound = await driver.StatsAsync(volume, target);
        Assert.False(sound.VolumeCondition.Abnormal);
        Assert.Equal(2, sound.Usage.Count);
        string image = $"{driver.Pool}/{volume}.img";
        File.Move(image, $"{image}.away");
        File.WriteAllText(image, "other");

        VolumeCondition condition = (await driver.StatsAsync(volume, target)).VolumeCondition;
        Assert.True(condition.Abnormal);
        Assert.Contains("replaced", condition.Message, StringComparison.Ordinal);

        File.Move($"{image}.away", image, overwrite: true);
        await driver.ReleaseAsync(volume);
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task MountFlags_OfTheVolume_AreInForceAndUnknownOnesRefused()
    {
        VolumeCapability capability = Calls.Mount("ext4", Mode.SingleNodeWriter, "noexec", "nosuid,noatime", "commit=30");
        string volume = await driver.CreateIdAsync(Calls.Request("flags", Calls.Mount("ext4"), 32));
        foreach (string flag in new[] { "loop=/dev/loop0", "device=/dev/loop0", "noatime,logdev=/dev/loop0", "journal_path=/etc/shadow", "offset=4096", "bind", "remount", "=x" })
        {
            GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.InvalidArgument, driver.StageAsync(volume, Calls.Mount("ext4", Mode.SingleNodeWriter, flag)));
            Assert.Contains("it would mount something else", refused.Message, StringComparison.Ordinal);
        }
        await Calls.RefusedAsync(GrpcStatusCode.InvalidArgument, driver.StageAsync(volume, Calls.Mount("ext4", Mode.SingleNodeWriter, "unheard-of")));
        string target = await driver.UseAsync(volume, capability);

        string options = driver.Check("findmnt", "--noheadings", "--output", "OPTIONS", target).Output;
        Assert.All(new[] { "noexec", "nosuid", "noatime", "commit=30" }, flag => Assert.Contains(flag, options, StringComparison.Ordinal));

        await driver.ReleaseAsync(volume);
        await driver.DeleteAsync(volume);
    }

    private static VolumeUsage BytesOf(NodeGetVolumeStatsResponse stats) => stats.Usage.Single(usage => usage.Unit == VolumeUsage.Types.Unit.Bytes);
}
