using System.Diagnostics;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Hosting;
using Overlay.Testing;

namespace Overlay.Csi.Tests;

/// <summary>What goes wrong around the driver.</summary>
public sealed class FaultTests : IAsyncLifetime
{
    private static readonly VolumeCapability Ext4 = Calls.Mount("ext4");

    private DriverProcess _driver = null!;

    public async Task InitializeAsync() => _driver = await DriverProcess.StartAsync(driver =>
    {
        driver.Programs = $"{driver.Folder}/programs";
        Directory.CreateDirectory(driver.Programs);
        driver.More.AddRange(["--tool-timeout", "6"]);
    });

    public async Task DisposeAsync() => await _driver.DisposeAsync();

    [Fact]
    public async Task Stage_WithAHungMkfs_EndsAtItsDeadlineAndWorksLater()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("hung", Ext4, 32));
        string mkfs = $"{_driver.Programs}/mkfs.ext4", marker = $"{_driver.Folder}/child";
        WriteScript(mkfs, $"sleep 1000 & echo $! >{marker}; wait");
        long start = Stopwatch.GetTimestamp();

        Task<NodeStageVolumeResponse> first = _driver.StageAsync(volume, Ext4);
        while (!File.Exists(marker) && !first.IsCompleted) await Task.Delay(10);
        // The same call joins it, another one does not wait, and figures are told meanwhile.
        Task<NodeStageVolumeResponse> same = _driver.StageAsync(volume, Ext4);
        await Calls.RefusedAsync(GrpcStatusCode.Aborted, _driver.UnstageAsync(volume));
        await Calls.RefusedAsync(GrpcStatusCode.Aborted, _driver.DeleteAsync(volume));
        await Calls.RefusedAsync(GrpcStatusCode.Aborted, _driver.SnapshotAsync("hung", volume));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, _driver.StatsAsync(volume, _driver.Staging(volume)));
        Assert.False(first.IsCompleted || same.IsCompleted, "what ran meanwhile waited for it");
        await Calls.RefusedAsync(GrpcStatusCode.DeadlineExceeded, first);
        await Calls.RefusedAsync(GrpcStatusCode.DeadlineExceeded, same);

        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(30));
        string child = File.ReadAllText(marker).Trim();
        Assert.True(!Directory.Exists($"/proc/{child}") || File.ReadAllText($"/proc/{child}/stat").Contains(") Z ", StringComparison.Ordinal), "the program's child lives on");
        Assert.Empty(_driver.Loops());
        Assert.Empty(_driver.Mounts());
        Assert.Contains("\"staging\": null", File.ReadAllText($"{_driver.State}/{volume}.json"), StringComparison.Ordinal);

        File.Delete(mkfs);
        await _driver.UseAsync(volume, Ext4);
        await _driver.ReleaseAsync(volume);
    }

    [Fact]
    public async Task ResizeProgram_ThatIsCutShort_IsMadeGoodByTheNextStaging()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("cut-short", Ext4, 32));
        File.WriteAllText(_driver.In($"{await _driver.UseAsync(volume, Ext4)}/file"), "kept");
        await _driver.ReleaseAsync(volume);
        await _driver.ExpandAsync(volume, 96 * Calls.MiB);
        // What a resize2fs that is killed leaves: e2fsck does not repair it unasked.
        string resize = $"{_driver.Programs}/resize2fs";
        WriteScript(resize, "debugfs -w -R 'set_inode_field <7> block[0] 4294967295' $1; exit 1");
        await Calls.RefusedAsync(GrpcStatusCode.Internal, _driver.StageAsync(volume, Ext4));
        File.Delete(resize);
        Assert.Equal(4, ProgramRun.Start("e2fsck", ["-f", "-n", $"{_driver.Pool}/{volume}.img"]).ExitCode);
        await _driver.KillAsync();
        await _driver.RunAsync();

        string target = await _driver.UseAsync(volume, Ext4);

        Assert.Equal("kept", File.ReadAllText(_driver.In($"{target}/file")));
        Assert.True((await _driver.StatsAsync(volume, target)).Usage[0].Total > 64 * Calls.MiB);
        await _driver.ReleaseAsync(volume);
        Assert.Equal(0, ProgramRun.Start("e2fsck", ["-f", "-n", $"{_driver.Pool}/{volume}.img"]).ExitCode);
        Assert.Contains("\"isGrowing\": false", File.ReadAllText($"{_driver.State}/{volume}.json"), StringComparison.Ordinal);
        await _driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task Calls_FiftyAtOnceThatConflict_LeaveOneSoundVolume()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("conflict", Ext4, 32));
        string target = _driver.Target(volume, "pod");
        Func<Task>[] kinds =
        [
            () => _driver.StageAsync(volume, Ext4), () => _driver.PublishAsync(volume, target, Ext4), () => _driver.UnpublishAsync(volume, target),
            () => _driver.UnstageAsync(volume), () => _driver.ExpandAsync(volume, 40 * Calls.MiB),
        ];
        async Task<GrpcStatusCode> Try(Func<Task> call)
        {
            try
            {
                await call();
                return GrpcStatusCode.Ok;
            }
            catch (GrpcException exception)
            {
                return exception.Status;
            }
        }

        // While one stages, the others like it join it, and all else is ABORTED.
        string mkfs = $"{_driver.Programs}/mkfs.ext4", begun = $"{_driver.Folder}/begun", go = $"{_driver.Folder}/go";
        WriteScript(mkfs, $"touch {begun}; until [ -e {go} ]; do sleep 0.02; done; exec /usr/sbin/mkfs.ext4 \"$@\"");
        Task<GrpcStatusCode> first = Try(kinds[0]);
        for (long start = Stopwatch.GetTimestamp(); !File.Exists(begun); await Task.Delay(10)) Assert.True(Stopwatch.GetElapsedTime(start) < DriverProcess.Patience);
        Task<GrpcStatusCode>[] burst = [.. Enumerable.Range(0, 50).Select(index => Try(kinds[index % kinds.Length]))];
        Assert.All(await Task.WhenAll(burst.Where((_, index) => index % kinds.Length != 0)), end => Assert.Equal(GrpcStatusCode.Aborted, end));
        File.WriteAllText(go, "");
        Assert.All(await Task.WhenAll(burst.Where((_, index) => index % kinds.Length == 0).Prepend(first)), end => Assert.Equal(GrpcStatusCode.Ok, end));

        // And in whatever order they come.
        GrpcStatusCode[] ends = await Task.WhenAll(Enumerable.Range(0, 50).Select(index => Try(kinds[index % kinds.Length])));
        Assert.Empty(ends.Except([GrpcStatusCode.Ok, GrpcStatusCode.Aborted, GrpcStatusCode.FailedPrecondition]));
        await _driver.UseAsync(volume, Ext4);
        Assert.Single(_driver.Loops());
        await _driver.ReleaseAsync(volume);
        await _driver.DeleteAsync(volume);
        _driver.AssertClean();
    }

    [Fact]
    public async Task Calls_OnTwentyVolumesAtOnce_LeadEachThroughItsLife()
    {
        async Task<string> LiveAsync(int number)
        {
            string volume = await _driver.CreateIdAsync(Calls.Request($"parallel-{number}", Ext4, 32));
            string target = await _driver.UseAsync(volume, Ext4);
            await File.WriteAllTextAsync(_driver.In($"{target}/number"), $"{number}");
            await _driver.UnpublishAsync(volume, target);
            await _driver.PublishAsync(volume, target, Ext4);
            Assert.Equal($"{number}", await File.ReadAllTextAsync(_driver.In($"{target}/number")));
            await _driver.ReleaseAsync(volume);
            await _driver.DeleteAsync(volume);
            return volume;
        }
        await _driver.KillAsync();
        _driver.More[^1] = "60";
        await _driver.RunAsync();

        string[] volumes = await Task.WhenAll(Enumerable.Range(0, 20).Select(LiveAsync));

        Assert.Equal(20, volumes.Distinct().Count());
        _driver.AssertClean();
    }

    [Fact]
    public async Task Restores_OfOneSnapshotAtOnce_AreAllMade()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("restored", Ext4, 32));
        Snapshot snapshot = await _driver.SnapshotAsync("restored", volume);

        await Task.WhenAll(Enumerable.Range(0, 10).Select(number => _driver.CreateAsync(Calls.Request($"restored-{number}", Ext4, 32).From(snapshot: snapshot.SnapshotId))));

        Assert.Equal(12, Directory.GetFiles(_driver.Pool).Length);
    }

    [Fact]
    public async Task Unpublish_OfATargetThatIsBusy_NamesWhoHasItAndWorksLater()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("busy", Ext4, 32));
        string target = await _driver.UseAsync(volume, Ext4);
        File.WriteAllText(_driver.In($"{target}/file"), "");
        using (FileStream open = File.OpenRead(_driver.In($"{target}/file")))
        {
            GrpcException refused = await Calls.RefusedAsync(GrpcStatusCode.Unavailable, _driver.UnpublishAsync(volume, target));

            Assert.Contains($"({Environment.ProcessId})", refused.Message, StringComparison.Ordinal);
            Assert.Contains(target, _driver.Mounts());
        }
        await _driver.ReleaseAsync(volume);
        Assert.Empty(_driver.Loops());
    }

    [Fact]
    public async Task Unpublish_OfATargetThatWasMountedOver_TakesEveryLayerAway()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("stacked", Ext4, 32));
        string target = await _driver.UseAsync(volume, Ext4);
        _driver.Check("mount", "--bind", target, target);
        _driver.Check("mount", "-t", "tmpfs", "tmpfs", target);

        await _driver.ReleaseAsync(volume);

        Assert.Empty(_driver.Mounts());
        Assert.False(Directory.Exists(target));
        Assert.Empty(_driver.Loops());
    }

    [Fact]
    public async Task Unpublish_OfATargetThatHoldsFilesOfSomebody_KeepsThem()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("kept", Ext4, 32));
        string target = await _driver.UseAsync(volume, Ext4);
        _driver.Check("umount", target);
        File.WriteAllText($"{target}/written-to-the-host", "precious");

        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.UnpublishAsync(volume, target));

        Assert.Equal("precious", File.ReadAllText($"{target}/written-to-the-host"));
        File.Delete($"{target}/written-to-the-host");
        await _driver.ReleaseAsync(volume);
    }

    [Fact]
    public async Task Volumes_WhoseStateIsLost_AreReleasedAndKeptAndNotFormatted()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("lost", Ext4, 32));
        string target = await _driver.UseAsync(volume, Ext4);
        File.WriteAllText(_driver.In($"{target}/file"), "precious");
        string raw = await _driver.CreateIdAsync(Calls.Request("lost-raw", Calls.Block(), 8));
        await _driver.UseAsync(raw, Calls.Block());
        await _driver.KillAsync();
        Directory.Delete(_driver.State, recursive: true);
        await _driver.RunAsync();

        Assert.Contains($"{target} is a mount of image {_driver.Pool}/{volume}.img, which has no record; it is kept", _driver.Log, StringComparison.Ordinal);
        Assert.Contains($"has image {_driver.Pool}/{raw}.img, which has no record; it is kept", _driver.Log, StringComparison.Ordinal);
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, _driver.StageAsync(volume, Ext4));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.CreateAsync(Calls.Request("lost", Ext4, 32)));
        await _driver.ReleaseAsync(volume);
        await _driver.ReleaseAsync(raw);

        Assert.Empty(_driver.Mounts());
        Assert.Empty(_driver.Loops());
        string image = $"{_driver.Pool}/{volume}.img";
        Assert.Equal("precious", ProgramRun.Check("debugfs", "-R", "cat file", image).Output);
    }

    [Fact]
    public async Task Volumes_AfterTheMachineStartedAnew_AreStagedAgain()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("reboot", Ext4, 32)), raw = await _driver.CreateIdAsync(Calls.Request("reboot-raw", Calls.Block(), 8));
        string target = await _driver.UseAsync(volume, Ext4);
        await _driver.UseAsync(raw, Calls.Block());
        File.WriteAllText(_driver.In($"{target}/file"), "kept");
        await _driver.KillAsync();
        foreach (string mount in _driver.Mounts().Reverse()) _driver.Check("umount", mount);
        foreach (string loop in _driver.Loops()) ProgramRun.Check("losetup", "--detach", loop);
        await _driver.RunAsync();

        Assert.False(Directory.Exists(target));
        foreach (string one in new[] { volume, raw })
        {
            Assert.Contains("\"staging\": null", File.ReadAllText($"{_driver.State}/{one}.json"), StringComparison.Ordinal);
            await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.PublishAsync(one, _driver.Target(one, "pod"), one == raw ? Calls.Block() : Ext4));
        }
        Assert.Equal("kept", File.ReadAllText(_driver.In($"{await _driver.UseAsync(volume, Ext4)}/file")));
        await _driver.UseAsync(raw, Calls.Block());
        foreach (string one in new[] { volume, raw })
        {
            await _driver.ReleaseAsync(one);
            await _driver.DeleteAsync(one);
        }
        _driver.AssertClean();
    }

    [Fact]
    public async Task Pool_ThatIsFull_GivesResourceExhaustedAndLosesNothing()
    {
        await _driver.KillAsync();
        string small = $"{_driver.Folder}/small";
        Directory.CreateDirectory(small);
        _driver.Check("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", small);
        _driver.Pools.Add($"small={small}");
        await _driver.RunAsync();
        string volume = await _driver.CreateIdAsync(Calls.Request("fits", Ext4, 32, "small"));
        string target = await _driver.UseAsync(volume, Ext4);
        byte[] data = new byte[8 << 20];
        new Random(5).NextBytes(data);
        File.WriteAllBytes(_driver.In($"{target}/data"), data);
        _driver.Check("sync", "--file-system", target);

        await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, _driver.CreateAsync(Calls.Request("too-much", Ext4, 40, "small")));
        await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, _driver.ExpandAsync(volume, 80 * Calls.MiB));
        // Others fill the disk: what was promised cannot be kept, and what is there stays.
        _driver.Run("dd", "if=/dev/zero", $"of={small}/others", "bs=1M", "status=none");
        await Calls.RefusedAsync(GrpcStatusCode.ResourceExhausted, _driver.SnapshotAsync("full", volume));
        Assert.Equal(data, File.ReadAllBytes(_driver.In($"{target}/data")));
        _driver.Check("rm", $"{small}/others");

        Snapshot snapshot = await _driver.SnapshotAsync("full", volume);
        await _driver.DeleteSnapshotAsync(snapshot.SnapshotId);
        await _driver.ReleaseAsync(volume);
        await _driver.DeleteAsync(volume);
        await _driver.KillAsync();
        _driver.Check("umount", small);
    }

    [Fact]
    public async Task Calls_WhileTheDriverIsStarting_AreUnavailableAndProbeTellsNotReady()
    {
        await _driver.KillAsync();
        string mkfs = $"{_driver.Programs}/mkfs.xfs", go = $"{_driver.Folder}/go";
        WriteScript(mkfs, $"until [ -e {go} ]; do sleep 0.02; done; exec /usr/sbin/mkfs.xfs \"$@\"");
        _driver.Pools.Add($"late=image:{_driver.Folder}/late.img,320Mi");
        _driver.More[^1] = "60";
        Task start = _driver.RunAsync();
        bool? ready = null;
        for (long begin = Stopwatch.GetTimestamp(); ready is null && Stopwatch.GetElapsedTime(begin) < DriverProcess.Patience; await Task.Delay(20))
        {
            try
            {
                ready = (await _driver.CallAsync<ProbeRequest, ProbeResponse>("Identity", "Probe", new ProbeRequest())).Ready;
            }
            catch (GrpcException exception) when (exception.Status == GrpcStatusCode.Unavailable)
            {
                // It does not listen yet.
            }
        }
        Assert.False(ready);
        await Calls.RefusedAsync(GrpcStatusCode.Unavailable, _driver.CreateAsync(Calls.Request("early", Ext4, 32)));
        await Calls.RefusedAsync(GrpcStatusCode.Unavailable, _driver.UnpublishAsync("vol-none", $"{_driver.Folder}/early"));
        await Calls.RefusedAsync(GrpcStatusCode.Unavailable, _driver.StatsAsync("vol-none", $"{_driver.Folder}/early"));
        using (var http = new HttpClient(UnixSocketHttp.CreateHandler(_driver.Api)) { BaseAddress = new Uri("http://overlay-csi"), Timeout = DriverProcess.Patience })
        {
            Assert.Equal(System.Net.HttpStatusCode.ServiceUnavailable, (await http.GetAsync(new Uri(Overlay.Rpc.LocalApi.HealthPath, UriKind.Relative))).StatusCode);
        }
        Assert.False(File.Exists(_driver.RegistrationSocket), "the kubelet is told before the driver is ready");

        File.WriteAllText(go, "");
        await start;
        await _driver.CreateAsync(Calls.Request("early", Ext4, 32));
        Assert.True(File.Exists(_driver.RegistrationSocket));
        await _driver.TerminateAsync();
    }

    [Fact]
    public async Task Probe_WithoutAProgramThatIsNeeded_IsFailedPrecondition()
    {
        await _driver.KillAsync();
        foreach (string tool in new[] { "setpriv", "setsid" }) File.CreateSymbolicLink($"{_driver.Programs}/{tool}", $"/usr/bin/{tool}");
        _driver.OnlyPrograms = true;
        Process process = _driver.Launch();
        using GrpcChannel channel = GrpcChannel.ToSocket(_driver.Socket);
        GrpcException? refused = null;
        long start = Stopwatch.GetTimestamp();
        while (refused is null or { Status: GrpcStatusCode.Unavailable })
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < DriverProcess.Patience);
            refused = await Assert.ThrowsAsync<GrpcException>(() => channel.CallAsync(
                new GrpcMethod<ProbeRequest, ProbeResponse>(CsiReflection.Descriptor.FindTypeByName<Google.Protobuf.Reflection.ServiceDescriptor>("Identity"), "Probe"),
                new ProbeRequest(),
                DriverProcess.Patience));
            await Task.Delay(20);
        }

        Assert.Equal(GrpcStatusCode.FailedPrecondition, refused.Status);
        Assert.Contains("mkfs.xfs", refused.Message, StringComparison.Ordinal);
        process.Kill();
        await process.WaitForExitAsync();
    }

    private static void WriteScript(string path, string commands)
    {
        File.WriteAllText(path, $"#!/bin/sh\n{commands}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
    }
}
