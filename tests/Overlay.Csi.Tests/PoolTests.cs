using System.Diagnostics;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Overlay.Testing;

namespace Overlay.Csi.Tests;

/// <summary>Pools of their own file systems: handed over blank, and never taken from somebody.</summary>
public sealed class PoolTests
{
    [Fact]
    public async Task DevicePool_ThatIsBlank_IsFormattedOnceAndKeepsItsVolumes()
    {
        await using var driver = new DriverProcess();
        string device = Attach(driver, 512);
        try
        {
            driver.Pools.Insert(0, $"disk=device:{device}");
            await driver.RunAsync();
            VolumeCapability capability = Calls.Mount("ext4");
            string volume = await driver.CreateIdAsync(Calls.Request("on-disk", capability, 32, "disk"));
            string target = await driver.UseAsync(volume, capability);
            File.WriteAllText(driver.In($"{target}/file"), "kept");

            // In use, the pool stays mounted while the driver is away.
            await driver.TerminateAsync();
            Assert.Equal("kept", File.ReadAllText(driver.In($"{target}/file")));
            await driver.RunAsync();
            await driver.ReleaseAsync(volume);
            await driver.TerminateAsync();
            Assert.DoesNotContain("/pools/disk", driver.Check("cat", "/proc/self/mountinfo").Output, StringComparison.Ordinal);
            await driver.RunAsync();

            Assert.Equal("kept", File.ReadAllText(driver.In($"{await driver.UseAsync(volume, capability)}/file")));
            await driver.ReleaseAsync(volume);
            await driver.TerminateAsync();
        }
        finally
        {
            ProgramRun.Check("losetup", "--detach", device);
        }
    }

    [Theory]
    [InlineData("mkfs.xfs -q", "xfs", true)]
    [InlineData("mkfs.ext4 -q", "ext4", true)]
    [InlineData("dd if=/dev/urandom bs=1 count=1 seek=104857600 conv=notrunc status=none of=", "data without a known signature, at byte 104857600", true)]
    [InlineData("mkfs.btrfs -q", "btrfs", false)]
    public async Task Pool_OnWhatHoldsSomethingElse_IsRefusedAndKept(string command, string found, bool isDevice)
    {
        await using var driver = new DriverProcess();
        string device = Attach(driver, 512);
        string disk = $"{driver.Folder}/disk.img";
        try
        {
            ProgramRun.Check("sh", "-c", command.EndsWith('=') ? $"{command}{device}" : $"{command} {device}");
            if (!isDevice) ProgramRun.Check("losetup", "--detach", device);
            string before = ProgramRun.Check("sha256sum", disk).Output;
            driver.Pools.Insert(0, isDevice ? $"disk=device:{device}" : $"disk=image:{disk},512Mi");
            using Process process = driver.Launch();
            await process.WaitForExitAsync().WaitAsync(DriverProcess.Patience);

            Assert.Equal(1, process.ExitCode);
            Assert.Contains(found, driver.Log, StringComparison.Ordinal);
            Assert.Equal(before, ProgramRun.Check("sha256sum", disk).Output);
        }
        finally
        {
            if (isDevice) ProgramRun.Check("losetup", "--detach", device);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Pool_WhoseDriverIsKilledBeforeEachStepOfItsMaking_IsMadeByTheNextOne(bool isDevice)
    {
        bool isThrough = false;
        int crashes = 0;
        for (int step = 1; !isThrough; step++)
        {
            await using var driver = new DriverProcess();
            string? device = isDevice ? Attach(driver, 320) : null;
            try
            {
                driver.CrashFile = $"{driver.Folder}/crash";
                driver.Pools.Insert(0, isDevice ? $"made=device:{device}" : $"made=image:{driver.Folder}/made.img,320Mi");
                File.WriteAllText(driver.CrashFile, $"{Guid.NewGuid()} {step}");
                isThrough = await driver.TryRunAsync();
                File.Delete(driver.CrashFile);
                if (!isThrough)
                {
                    crashes++;
                    await driver.RunAsync();
                }
                VolumeCapability capability = Calls.Mount("ext4");
                string volume = await driver.CreateIdAsync(Calls.Request("in-pool", capability, 32, "made"));
                await driver.UseAsync(volume, capability);
                await driver.ReleaseAsync(volume);
                await driver.TerminateAsync();
                Assert.DoesNotContain("/pools/made", driver.Check("cat", "/proc/self/mountinfo").Output, StringComparison.Ordinal);
            }
            finally
            {
                if (device is not null) ProgramRun.Check("losetup", "--detach", device);
            }
        }
        Assert.InRange(crashes, 2, 10);
    }

    [Fact]
    public async Task DevicePool_InPlaceOfOneThatWasBeingFormatted_KeepsWhatItHolds()
    {
        await using var driver = new DriverProcess();
        string begun = Attach(driver, 320), precious = Attach(driver, 320, "precious.img");
        try
        {
            driver.CrashFile = $"{driver.Folder}/crash";
            driver.Pools.Insert(0, $"disk=device:{begun}");
            File.WriteAllText(driver.CrashFile, $"{Guid.NewGuid()} format pool");
            Assert.False(await driver.TryRunAsync());
            File.Delete(driver.CrashFile);
            ProgramRun.Check("mkfs.ext4", "-q", precious);
            string before = ProgramRun.Check("sha256sum", precious).Output;

            driver.Pools[0] = $"disk=device:{precious}";
            Assert.False(await driver.TryRunAsync());

            Assert.Contains($"{precious} holds an ext4", driver.Log, StringComparison.Ordinal);
            Assert.Equal(before, ProgramRun.Check("sha256sum", precious).Output);
            // What is finished is not made anew, although it has the UUID that the mark tells.
            string uuid = File.ReadAllText($"{driver.State}/pools/disk.formatting"), folder = $"{driver.State}/pools/disk";
            ProgramRun.Check("mkfs.xfs", "-q", "-f", "-L", "overlay-pool", "-m", $"uuid={uuid}", precious);
            await driver.RunAsync();
            File.WriteAllText(driver.In($"{folder}/file"), "kept");
            await driver.TerminateAsync();
            await driver.RunAsync();
            Assert.Equal("kept", File.ReadAllText(driver.In($"{folder}/file")));
            await driver.TerminateAsync();
            // What is not finished is, under its mark only.
            ProgramRun.Check("sh", "-c", $"printf '\\1' | dd of={precious} bs=1 seek=126 conv=notrunc,fsync status=none");
            File.WriteAllText($"{driver.State}/pools/disk.formatting", Guid.NewGuid().ToString());
            Assert.False(await driver.TryRunAsync());
            File.WriteAllText($"{driver.State}/pools/disk.formatting", uuid);
            await driver.RunAsync();
            Assert.False(File.Exists(driver.In($"{folder}/file")));
            await driver.TerminateAsync();
        }
        finally
        {
            ProgramRun.Check("losetup", "--detach", begun, precious);
        }
    }

    [Fact]
    public async Task ImagePool_OnADiskThatIsTooSmallForIt_PromisesNoMoreThanThatHas()
    {
        await using var driver = new DriverProcess();
        Directory.CreateDirectory($"{driver.Folder}/disk");
        driver.Check("mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", $"{driver.Folder}/disk");
        driver.Pools.Insert(0, $"fast=image:{driver.Folder}/disk/fast.img,1Gi");
        await driver.RunAsync();

        Assert.InRange(await AvailableAsync(driver), 1, 200 * Calls.MiB);
        CreateVolumeRequest request = Calls.Request("too-large", Calls.Block(), 400, "fast");
        request.Parameters["reservation"] = "reserved";
        await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, driver.CreateAsync(request));
        await driver.TerminateAsync();
    }

    [Fact]
    public async Task ImagePool_WhoseDriverComesBackInAnotherMountNamespace_IsTakenWithItsVolumesInUse()
    {
        await using var driver = new DriverProcess();
        driver.Check("sh", "-c", $"mkdir {driver.Folder}/shared && mount -t tmpfs tmpfs {driver.Folder}/shared && mount --make-shared {driver.Folder}/shared");
        driver.Pools.Insert(0, $"fast=image:{driver.Folder}/fast.img,320Mi");
        driver.Wrapper = ["unshare", "--mount", "--propagation", "unchanged"];
        await driver.RunAsync();
        VolumeCapability capability = Calls.Mount("ext4");
        string volume = await driver.CreateIdAsync(Calls.Request("stays", capability, 32, "fast"));
        string staging = $"{driver.Folder}/shared/staging", target = $"{driver.Folder}/shared/target";
        await driver.StageAsync(volume, capability, staging);
        await driver.PublishAsync(volume, target, capability, staging: staging);
        File.WriteAllText(driver.In($"{target}/file"), "kept");
        await driver.KillAsync();

        await driver.RunAsync();

        Assert.Equal("kept", File.ReadAllText(driver.In($"{target}/file")));
        await driver.StageAsync(volume, capability, staging);
        await driver.UnpublishAsync(volume, target);
        await driver.UnstageAsync(volume, staging);
        await driver.DeleteAsync(volume);
        await driver.TerminateAsync();
        driver.Check("umount", $"{driver.Folder}/shared");
        Assert.Empty(driver.Mounts());
        Assert.Empty(driver.Loops());
    }

    [Fact]
    public async Task Pool_OfAnotherDriver_IsRefused()
    {
        await using DriverProcess first = await DriverProcess.StartAsync();
        await using var second = new DriverProcess();
        second.Pools[0] = $"images={first.Pool}";

        Assert.False(await second.TryRunAsync());
        Assert.Contains($"another driver has {first.Pool}", second.Log, StringComparison.Ordinal);
        await first.KillAsync();
        await second.RunAsync();
    }

    [Fact]
    public async Task ImagePool_OfALargerSize_Grows()
    {
        await using var driver = new DriverProcess();
        driver.Pools.Insert(0, $"fast=image:{driver.Folder}/fast.img,320Mi");
        await driver.RunAsync();
        long before = await AvailableAsync(driver);
        await driver.KillAsync();
        driver.Pools[0] = $"fast=image:{driver.Folder}/fast.img,640Mi";
        await driver.RunAsync();

        Assert.InRange(await AvailableAsync(driver) - before, 250 * Calls.MiB, 330 * Calls.MiB);
        await driver.TerminateAsync();
    }

    [Fact]
    public async Task Snapshot_OnAPoolThatShares_CountsWhatItsVolumeMayOverwrite()
    {
        await using var driver = new DriverProcess();
        driver.Pools.Insert(0, $"fast=image:{driver.Folder}/fast.img,640Mi");
        await driver.RunAsync();
        VolumeCapability capability = Calls.Block();
        string volume = await driver.CreateIdAsync(Calls.Request("shares", capability, 256, "fast"));
        string target = await driver.UseAsync(volume, capability);
        long before = await AvailableAsync(driver);
        driver.Check("dd", "if=/dev/urandom", $"of={target}", "bs=1M", "count=200", "oflag=direct", "status=none");
        Assert.InRange(before - await AvailableAsync(driver), -8 * Calls.MiB, 8 * Calls.MiB);

        Snapshot snapshot = await driver.SnapshotAsync("shares", volume);
        Assert.InRange(before - await AvailableAsync(driver), 190 * Calls.MiB, 216 * Calls.MiB);
        await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, driver.SnapshotAsync("shares-2", volume));

        await driver.DeleteSnapshotAsync(snapshot.SnapshotId);
        // xfs frees what was removed in the background.
        long start = Stopwatch.GetTimestamp();
        while (before - await AvailableAsync(driver) > 8 * Calls.MiB)
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < DriverProcess.Patience, "the snapshot's space is not given back");
            await Task.Delay(20);
        }
        await driver.ReleaseAsync(volume);
        await driver.TerminateAsync();
    }

    private static async Task<long> AvailableAsync(DriverProcess driver) =>
        (await driver.CallAsync<GetCapacityRequest, GetCapacityResponse>("Controller", "GetCapacity", new GetCapacityRequest())).AvailableCapacity;

    private static string Attach(DriverProcess driver, long mebibytes, string name = "disk.img")
    {
        string disk = $"{driver.Folder}/{name}";
        using (FileStream file = File.Create(disk)) file.SetLength(mebibytes << 20);
        return ProgramRun.Check("losetup", "--find", "--show", disk).Lines[0];
    }
}
