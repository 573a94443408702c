using System.Diagnostics;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Overlay.Testing;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.Tests;

/// <summary>A step of a call does not come to its end, while something else happens.</summary>
public sealed class HeldStepTests : IAsyncLifetime
{
    private static readonly VolumeCapability Capability = Calls.Mount("ext4");

    private DriverProcess _driver = null!;

    public async Task InitializeAsync() => _driver = await DriverProcess.StartAsync(driver =>
    {
        driver.CrashFile = $"{driver.Folder}/crash";
        driver.Pools.Insert(0, $"fast=image:{driver.Folder}/fast.img,400Mi");
        Directory.CreateDirectory($"{driver.Folder}/shared/folder");
        driver.More.AddRange(["--freeze-limit", "1", "--allow", $"directory:{driver.Folder}/shared"]);
    });

    public async Task DisposeAsync() => await _driver.DisposeAsync();

    [Theory]
    [InlineData("fast")]
    [InlineData("images")]
    public async Task Snapshot_WhoseCopyHangs_LetsWritersGoOnAndIsRefused(string pool)
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("hangs", Capability, 32, pool));
        string target = await _driver.UseAsync(volume, Capability);
        Task<Snapshot> snapshot = await HeldAsync("copy", () => _driver.SnapshotAsync("hangs", volume));

        // Writers wait, but not for ever, and what they write meanwhile would be in the copy.
        await Task.Factory.StartNew(
            () => File.WriteAllText(_driver.In($"{target}/file"), "written"), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)
            .WaitAsync(DriverProcess.Patience);
        Assert.False(snapshot.IsCompleted);
        File.Delete(_driver.CrashFile!);

        GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, snapshot);
        Assert.Contains("cannot be copied while writers wait (1 s at most)", refused.Message, StringComparison.Ordinal);
        Assert.Empty((await _driver.ListSnapshotsAsync(new ListSnapshotsRequest())).Entries);
        await _driver.SnapshotAsync("hangs", volume);
        await _driver.DeleteSnapshotAsync(VolumeId.OfSnapshot("hangs"));
        await _driver.ReleaseAsync(volume);
        await _driver.DeleteAsync(volume);
        _driver.AssertClean();
    }

    [Fact]
    public async Task Growth_WhoseSpaceOthersTookMeanwhile_LeavesTheImageAsItWas()
    {
        await _driver.KillAsync();
        string small = Directory.CreateDirectory($"{_driver.Folder}/small").FullName;
        using (FileStream file = File.Create($"{_driver.Folder}/disk.img")) file.SetLength(64 << 20);
        string disk = ProgramRun.Check("losetup", "--find", "--show", $"{_driver.Folder}/disk.img").Lines[0];
        try
        {
            ProgramRun.Check("mkfs.ext4", "-q", "-m", "0", disk);
            _driver.Check("mount", disk, small);
            _driver.Pools.Add($"small={small}");
            await _driver.RunAsync();
            VolumeCapability raw = Calls.Block();
            CreateVolumeRequest request = Calls.Request("reserved", raw, 8, "small");
            request.Parameters["reservation"] = "reserved";
            string volume = await _driver.CreateIdAsync(request);
            Task growth = await HeldAsync("grow image", () => _driver.ExpandAsync(volume, 32 * Calls.MiB));
            _driver.Check("dd", "if=/dev/zero", $"of={small}/others", "bs=1M", "count=32", "conv=fsync", "status=none");
            File.Delete(_driver.CrashFile!);

            await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, growth);

            Assert.Equal(8 * Calls.MiB, new FileInfo(_driver.In($"{small}/{volume}.img")).Length);
            await _driver.StageAsync(volume, raw);
            await _driver.UnstageAsync(volume);
            _driver.Check("rm", $"{small}/others");
            await _driver.ExpandAsync(volume, 32 * Calls.MiB);
            await _driver.DeleteAsync(volume);
            await _driver.KillAsync();
            _driver.Check("umount", small);
        }
        finally
        {
            ProgramRun.Check("losetup", "--detach", disk);
        }
    }

    [Fact]
    public async Task Directory_ThatBecomesALinkAfterItWasAllowed_IsNotMounted()
    {
        string folder = $"{_driver.Folder}/shared/folder";
        Dictionary<string, string> attributes = new() { ["type"] = "directory", ["source"] = folder };
        Task stage = await HeldAsync("mount", () => _driver.StageAsync("swapped", Calls.Mount("", Mode.MultiNodeMultiWriter), context: attributes));
        Directory.Delete(folder);
        File.CreateSymbolicLink(folder, "/etc");
        File.Delete(_driver.CrashFile!);

        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, stage);
        Assert.Empty(_driver.Mounts());
        Assert.Empty(Directory.GetFiles(_driver.State, "static-*.json"));
    }

    [Fact]
    public async Task Driver_OnSigtermWithACallUnderWay_AnswersItAndEnds()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("under-way", Capability, 32));
        Task stage = await HeldAsync("mount", () => _driver.StageAsync(volume, Capability));
        Task ended = _driver.TerminateAsync();
        File.Delete(_driver.CrashFile!);

        await stage;
        await ended;
        Assert.Equal(0, _driver.ExitCode);
        Assert.Equal([_driver.Staging(volume)], _driver.Mounts());
        await _driver.RunAsync();
        await _driver.UnstageAsync(volume);
        await _driver.DeleteAsync(volume);
        _driver.AssertClean();
    }

    /// <summary>Makes a call, and returns once it waits at a step.</summary>
    private async Task<T> HeldAsync<T>(string step, Func<T> call)
        where T : Task
    {
        File.WriteAllText(_driver.CrashFile!, $"{Guid.NewGuid()} wait {step}");
        T running = call();
        long start = Stopwatch.GetTimestamp();
        while (!File.Exists(CrashingDriver.Reached(_driver.CrashFile!)))
        {
            Assert.False(running.IsCompleted, $"the call is through before it comes to '{step}': {_driver.Log}");
            Assert.True(Stopwatch.GetElapsedTime(start) < DriverProcess.Patience, $"the call does not come to '{step}'");
            await Task.Delay(10);
        }
        return running;
    }
}
