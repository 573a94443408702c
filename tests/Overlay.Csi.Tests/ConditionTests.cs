using System.Diagnostics;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.Tests;

/// <summary>Volumes that break while pods use them: the condition tells, and they still are released.</summary>
public sealed class ConditionTests(DriverProcess driver) : IClassFixture<DriverProcess>
{
    [Fact]
    public async Task FileSystem_ThatShutDown_IsToldOfAndReleasedAndSoundWhenStagedAgain()
    {
        VolumeCapability capability = Calls.Mount("xfs");
        string volume = await driver.CreateIdAsync(Calls.Request("shutdown", capability, 320));
        string target = await driver.UseAsync(volume, capability);
        File.WriteAllText(driver.In($"{target}/file"), "kept");
        driver.Check("sync", "--file-system", target);
        driver.Check("xfs_io", "-x", "-c", "shutdown", target);

        VolumeCondition condition = (await driver.StatsAsync(volume, target)).VolumeCondition;
        Assert.Contains("shut itself down", condition.Message, StringComparison.Ordinal);
        Assert.True(condition.Abnormal);
        await driver.ReleaseAsync(volume);
        Assert.Equal("kept", File.ReadAllText(driver.In($"{await driver.UseAsync(volume, capability)}/file")));
        Assert.False((await driver.StatsAsync(volume, target)).VolumeCondition.Abnormal);
        await driver.ReleaseAsync(volume);
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task StagingPath_ThatWasUnmountedOrMountedOver_IsToldOfAndNotPublished()
    {
        VolumeCapability capability = Calls.Mount("ext4", Mode.SingleNodeMultiWriter);
        string volume = await driver.CreateIdAsync(Calls.Request("mounted-over", capability, 32));
        string target = await driver.UseAsync(volume, capability);
        driver.Check("mount", "-t", "tmpfs", "tmpfs", driver.Staging(volume));

        Assert.Contains("mounted over it", (await driver.StatsAsync(volume, target)).VolumeCondition.Message, StringComparison.Ordinal);
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, driver.Target(volume, "second"), capability));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, capability));
        driver.Check("umount", driver.Staging(volume));
        driver.Check("umount", driver.Staging(volume));
        Assert.Contains("is not mounted at", (await driver.StatsAsync(volume, target)).VolumeCondition.Message, StringComparison.Ordinal);
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, driver.Target(volume, "second"), capability));

        await driver.ReleaseAsync(volume);
        Assert.Empty(driver.Mounts());
        Assert.Empty(driver.Loops());
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task StaticVolume_ThatWasMountedOver_IsToldOfAndNotPublished()
    {
        VolumeCapability capability = Calls.Mount("", Mode.MultiNodeMultiWriter);
        Dictionary<string, string> attributes = new() { ["type"] = "directory", ["source"] = $"{driver.Folder}/shared" };
        await driver.StageAsync("over", capability, context: attributes);
        await driver.PublishAsync("over", driver.Target("over", "one"), capability);
        driver.Check("mount", "-t", "tmpfs", "tmpfs", driver.Staging("over"));

        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync("over", driver.Target("over", "two"), capability));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync("over", capability, context: attributes));
        Assert.Contains("mounted over it", (await driver.StatsAsync("over", driver.Target("over", "one"))).VolumeCondition.Message, StringComparison.Ordinal);
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.UnstageAsync("over"));
        await driver.ReleaseAsync("over", "one");
        Assert.Empty(driver.Mounts());
    }

    /// <summary>A FUSE file system whose server answers nothing hangs as one over a network does.</summary>
    [Fact]
    public async Task FileSystem_ThatHangs_IsToldOfInTimeAndKeepsNoOtherFromItsAnswer()
    {
        VolumeCapability capability = Calls.Mount("", Mode.MultiNodeMultiWriter);
        string target = driver.Target("hung", "one"), mounted = $"{driver.Folder}/mounted";
        await driver.StageAsync("hung", capability, context: new Dictionary<string, string> { ["type"] = "directory", ["source"] = $"{driver.Folder}/shared" });
        await driver.PublishAsync("hung", target, capability);
        using Process server = driver.Start(
            "sh", "-c", $"exec 5<>/dev/fuse; mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 hung {target} && touch {mounted} && exec sleep 600");
        try
        {
            while (!File.Exists(mounted)) Assert.False(server.WaitForExit(20));
            for (int i = 0; i < 3; i++)
            {
                VolumeCondition condition = (await driver.StatsAsync("hung", target).WaitAsync(DriverProcess.Patience)).VolumeCondition;
                Assert.Contains("has not answered for", condition.Message, StringComparison.Ordinal);
                Assert.True(condition.Abnormal);
            }
            GrpcException busy = await Assert.ThrowsAsync<GrpcException>(() => driver.UnpublishAsync("hung", target).WaitAsync(DriverProcess.Patience));
            Assert.Equal(GrpcStatusCode.Unavailable, busy.Status);
            Assert.Contains($"'umount --force {target}'", busy.Message, StringComparison.Ordinal);
            driver.Run("umount", "--force", target);
            while ((await driver.StatsAsync("hung", target)).VolumeCondition.Message.Contains("not answered", StringComparison.Ordinal)) { }
        }
        finally
        {
            server.Kill();
            await server.WaitForExitAsync();
        }
        await driver.ReleaseAsync("hung", "one");
        Assert.Empty(driver.Mounts());
    }

    [Fact]
    public async Task Pool_WhoseFileSystemShutDown_IsToldOfAndItsVolumesAreReleased()
    {
        await using DriverProcess broken = await DriverProcess.StartAsync(one => one.Pools.Insert(0, $"fast=image:{one.Folder}/fast.img,640Mi"));
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await broken.CreateIdAsync(Calls.Request("in-broken", capability, 32, "fast"));
        string target = await broken.UseAsync(volume, capability);
        broken.Check("xfs_io", "-x", "-c", "shutdown", $"{broken.State}/pools/fast");

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => broken.CreateAsync(Calls.Request("more", capability, 32, "fast")));
        Assert.Equal(GrpcStatusCode.Internal, refused.Status);
        Assert.Contains("Input/output error", refused.Message, StringComparison.Ordinal);
        // Volumes of the other pool are served as before.
        string other = await broken.CreateIdAsync(Calls.Request("in-sound", capability, 32));
        await broken.UseAsync(other, capability);
        await broken.ReleaseAsync(other);
        await broken.UnpublishAsync(volume, target);
        await broken.UnstageAsync(volume);
        Assert.Empty(broken.Mounts());
        Assert.Empty(broken.Loops());
        await broken.KillAsync();
        broken.Check("umount", $"{broken.State}/pools/fast");
    }

    [Fact]
    public async Task BlockVolume_WhoseDeviceIsGone_IsToldOf()
    {
        VolumeCapability capability = Calls.Block();
        string volume = await driver.CreateIdAsync(Calls.Request("gone", capability, 8));
        string target = await driver.UseAsync(volume, capability);
        driver.Check("losetup", "--detach", driver.Loops().Single());

        Assert.Contains("loop device is gone", (await driver.StatsAsync(volume, target)).VolumeCondition.Message, StringComparison.Ordinal);

        await driver.ReleaseAsync(volume);
        await driver.DeleteAsync(volume);
    }

    [Theory]
    [InlineData("ext4", "e2fsck ended with 4")]
    [InlineData("xfs", "is damaged")]
    [InlineData("btrfs", "is damaged")]
    public async Task FileSystem_ThatIsDamaged_IsNotMountedAndTheRemedyTold(string type, string found)
    {
        VolumeCapability capability = Calls.Mount(type);
        string volume = await driver.CreateIdAsync(Calls.Request($"broken-{type}", capability, 320));
        await driver.StageAsync(volume, capability);
        await driver.UnstageAsync(volume);
        string image = $"{driver.Pool}/{volume}.img";
        string damage = type switch
        {
            "ext4" => $"debugfs -w -R 'clri <2>' {image}; debugfs -w -R 'ssv state 2' {image}",
            // The headers of the first allocation group, behind the superblock.
            "xfs" => $"dd if=/dev/urandom of={image} bs=512 seek=1 count=3 conv=notrunc status=none",
            // All of the trees; the superblock stays.
            _ => $"dd if=/dev/urandom of={image} bs=1M seek=1 count=63 conv=notrunc status=none; dd if=/dev/urandom of={image} bs=1M seek=65 count=250 conv=notrunc status=none",
        };
        driver.Check("sh", "-c", damage);

        GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, capability));

        Assert.Contains(found, refused.Message, StringComparison.Ordinal);
        Assert.Contains("repair it", refused.Message, StringComparison.Ordinal);
        Assert.Empty(driver.Mounts());
        Assert.Empty(driver.Loops());
        await driver.UnstageAsync(volume);
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task Image_ThatIsGoneWhileItIsUsed_IsReleasedAndItsDeviceDetached()
    {
        foreach (VolumeCapability capability in new[] { Calls.Mount("ext4"), Calls.Block() })
        {
            string volume = await driver.CreateIdAsync(Calls.Request($"removed-{Capabilities.KindOf(capability)}", capability, 32));
            string target = await driver.UseAsync(volume, capability);
            File.Delete($"{driver.Pool}/{volume}.img");

            VolumeCondition condition = (await driver.StatsAsync(volume, target)).VolumeCondition;
            Assert.Contains("is not there", condition.Message, StringComparison.Ordinal);
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.DeleteAsync(volume));
            await driver.ReleaseAsync(volume);
            Assert.Empty(driver.Loops());
            GrpcException lost = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, capability));
            Assert.Contains("is lost", lost.Message, StringComparison.Ordinal);
            await driver.DeleteAsync(volume);
        }
    }

    [Theory]
    [InlineData("ext4", 48)]
    [InlineData("xfs", 320)]
    [InlineData("btrfs", 256)]
    [InlineData("block", 8)]
    public async Task Stage_ForReaders_ChangesNoByteOfTheImage(string kind, int size)
    {
        VolumeCapability writer = Calls.Of(kind), reader = Calls.Of(kind, Mode.SingleNodeReaderOnly);
        string volume = await driver.CreateIdAsync(Calls.Request($"reader-{kind}", writer, size));
        string target = await driver.UseAsync(volume, writer);
        string write = kind == "block" ? $"printf kept | dd of={target} conv=fsync status=none" : $"printf kept >{target}/file";
        driver.Check("sh", "-c", write);
        await driver.ReleaseAsync(volume);
        string image = $"{driver.Pool}/{volume}.img", before = driver.Check("sha256sum", image).Output;

        await driver.StageAsync(volume, reader);
        await driver.StageAsync(volume, reader);
        Assert.Equal("1", driver.Check("blockdev", "--getro", driver.Loops().Single()).Output.Trim());
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, target, writer));
        await driver.PublishAsync(volume, target, reader);
        await driver.PublishAsync(volume, target, reader);
        Assert.Equal("kept", driver.Check("sh", "-c", kind == "block" ? $"head -c 4 {target}" : $"cat {target}/file").Output);
        Assert.NotEqual(0, driver.Run("sh", "-c", write).ExitCode);
        Assert.False((await driver.StatsAsync(volume, target)).VolumeCondition.Abnormal);
        await driver.ReleaseAsync(volume);

        Assert.Equal(before, driver.Check("sha256sum", image).Output);
        Assert.Empty(driver.Loops());
        await driver.DeleteAsync(volume);
    }
}
