using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Overlay.Testing;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.Tests;

/// <summary>What is not of the volume that a call names stays as it is: mounts, loop devices and frozen file systems of others.</summary>
public sealed class OwnershipTests(DriverProcess driver) : IClassFixture<DriverProcess>
{
    private static readonly VolumeCapability Ext4 = Calls.Mount("ext4");

    [Fact]
    public async Task Calls_ThatNameAnotherVolumesPaths_LeaveThemMounted()
    {
        string mine = await driver.CreateIdAsync(Calls.Request("owner-1", Ext4, 32)), other = await driver.CreateIdAsync(Calls.Request("owner-2", Ext4, 32));
        string target = await driver.UseAsync(mine, Ext4);
        await driver.StageAsync(other, Ext4);
        string host = $"{driver.Folder}/host-mount";
        Directory.CreateDirectory(host);
        driver.Check("mount", "-t", "tmpfs", "tmpfs", host);
        string[] before = driver.Mounts();

        foreach (string id in new[] { other, VolumeId.OfVolume("owner-none"), "static-none" })
        {
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.UnpublishAsync(id, target));
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.UnpublishAsync(id, driver.Staging(mine)));
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.UnstageAsync(id, driver.Staging(mine)));
        }
        foreach (string id in new[] { mine, VolumeId.OfVolume("owner-none") })
        {
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.UnpublishAsync(id, host));
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.UnstageAsync(id, host));
        }
        await Calls.RefusedAsync(GrpcStatusCode.AlreadyExists, driver.PublishAsync(other, target, Ext4));

        Assert.Equal(before, driver.Mounts());
        driver.Check("umount", host);
        // Nothing is staged at another path: that is done already, and what is staged stays.
        await driver.UnstageAsync(other, $"{driver.Folder}/never-staged");
        Assert.Contains(driver.Staging(other), driver.Mounts());
        await driver.UnstageAsync(other);
        await driver.ReleaseAsync(mine);
        Assert.Empty(driver.Mounts());
        await driver.DeleteAsync(mine);
        await driver.DeleteAsync(other);
    }

    [Fact]
    public async Task LoopDevices_OfSomebodyElse_OutliveEveryCallOnTheVolume()
    {
        VolumeCapability raw = Calls.Block(Mode.SingleNodeMultiWriter);
        string volume = await driver.CreateIdAsync(Calls.Request("owner-loop", raw, 8));
        await driver.UseAsync(volume, raw);
        await driver.PublishAsync(volume, driver.Target(volume, "reader"), raw, isReadOnly: true);
        string device = ProgramRun.Check("losetup", "--find", "--show", "--read-only", $"{driver.Pool}/{volume}.img").Lines[0];
        try
        {
            await driver.UnpublishAsync(volume, driver.Target(volume, "reader"));
            await driver.KillAsync();
            await driver.RunAsync();
            Assert.Contains($"{device} has the image of volume {volume}, and is none of this driver's; it is kept", driver.Log, StringComparison.Ordinal);
            await driver.ReleaseAsync(volume);
            Assert.Equal([device], driver.Loops());
            Assert.Contains($"volume {volume}: {device} has its image, is none of this driver's, and stays", driver.Log, StringComparison.Ordinal);
            GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, raw));
            Assert.Contains(device, refused.Message, StringComparison.Ordinal);
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.DeleteAsync(volume));
        }
        finally
        {
            ProgramRun.Check("losetup", "--detach", device);
        }
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task VolumeIds_ThatLeadOutOfThePool_ReachNoLoopDevice()
    {
        string image = $"{driver.Folder}/somebody.img", id = "../somebody";
        using (FileStream file = File.Create(image)) file.SetLength(1 << 20);
        string device = ProgramRun.Check("losetup", "--find", "--show", image).Lines[0];
        try
        {
            await driver.UnstageAsync(id, $"{driver.Folder}/leads/staging");
            await driver.UnpublishAsync(id, $"{driver.Folder}/leads/target");
            await driver.DeleteAsync(id);

            Assert.Equal([device], driver.Loops());
            Assert.True(File.Exists(image));
        }
        finally
        {
            ProgramRun.Check("losetup", "--detach", device);
        }
    }

    [Fact]
    public async Task FileSystem_ThatAnAdministratorFroze_StaysFrozenAcrossARestart()
    {
        string volume = await driver.CreateIdAsync(Calls.Request("owner-frozen", Ext4, 32));
        string target = await driver.UseAsync(volume, Ext4);
        driver.Check("fsfreeze", "--freeze", target);

        GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.Unavailable, driver.SnapshotAsync("owner-frozen", volume));
        Assert.Contains("frozen by somebody else", refused.Message, StringComparison.Ordinal);
        await driver.KillAsync();
        await driver.RunAsync();
        Assert.NotEqual(0, driver.Run("fsfreeze", "--freeze", target).ExitCode);

        // Frozen, it would outlive its last mount and keep the device.
        await driver.ReleaseAsync(volume);
        Assert.Empty(driver.Loops());
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task MountTable_WithNamesThatBreakLines_IsReadAsItIs()
    {
        string volume = await driver.CreateIdAsync(Calls.Request("owner-names", Ext4, 32));
        string odd = $"{driver.Folder}/odd \r\n\t\\#é";
        Directory.CreateDirectory(odd);
        driver.Check("mount", "-t", "tmpfs", "a b\r", odd);

        string target = $"{driver.Folder}/pod/ \r\n\t\\#é\"'%/mount";
        string staging = $"{driver.Folder}/staging/ \r\n\t\\#é\"'%";
        await driver.StageAsync(volume, Ext4, staging);
        await driver.PublishAsync(volume, target, Ext4, staging: staging);
        await driver.PublishAsync(volume, target, Ext4, staging: staging);
        Assert.False((await driver.StatsAsync(volume, target)).VolumeCondition.Abnormal);
        await driver.UnpublishAsync(volume, target);
        await driver.UnstageAsync(volume, staging);
        Assert.Equal([odd], driver.Mounts().Select(Unescape));
        driver.Check("umount", odd);
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task Unstage_OfAMountThatAnotherNamespaceHas_IsUnavailableUntilItGoes()
    {
        string volume = await driver.CreateIdAsync(Calls.Request("owner-namespace", Ext4, 32));
        await driver.StageAsync(volume, Ext4);
        using System.Diagnostics.Process holder = driver.Start("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo there; exec sleep 1000");
        Assert.Equal("there", await holder.StandardOutput.ReadLineAsync().WaitAsync(DriverProcess.Patience));

        GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.Unavailable, driver.UnstageAsync(volume));
        Assert.Contains("still has the image", refused.Message, StringComparison.Ordinal);
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.DeleteAsync(volume));

        holder.Kill();
        await holder.WaitForExitAsync().WaitAsync(DriverProcess.Patience);
        await driver.UnstageAsync(volume);
        Assert.Empty(driver.Loops());
        await driver.DeleteAsync(volume);
    }

    private static string Unescape(string text) => System.Text.RegularExpressions.Regex.Unescape(text.Replace("\\043", "#", StringComparison.Ordinal));
}
