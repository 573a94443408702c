using System.Security.Cryptography;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Tests;

/// <summary>
/// The driver is killed (SIGKILL) before each step of each call in turn, started again, and the call repeated: it succeeds, what was written
/// is there, and in the end nothing is left.
/// </summary>
public sealed class CrashTests : IAsyncLifetime
{
    private static readonly VolumeCapability Capability = Calls.Mount("ext4");
    private static readonly VolumeCapability Raw = Calls.Block(VolumeCapability.Types.AccessMode.Types.Mode.SingleNodeMultiWriter);

    private DriverProcess _driver = null!;
    private int _crashes;

    public async Task InitializeAsync() => _driver = await DriverProcess.StartAsync(driver =>
    {
        driver.CrashFile = $"{driver.Folder}/crash";
        driver.Pools.Insert(0, $"fast=image:{driver.Folder}/fast.img,3Gi");
        driver.More.AddRange(["--allow", $"directory:{driver.Folder}/shared", "--allow", "tmpfs:16Mi"]);
        Directory.CreateDirectory($"{driver.Folder}/shared");
    });

    public async Task DisposeAsync() => await _driver.DisposeAsync();

    [Fact]
    public async Task Calls_KilledBeforeEachStep_SucceedWhenRepeatedAndLoseNothing()
    {
        byte[] data = RandomNumberGenerator.GetBytes(1 << 20);
        CreateVolumeRequest request = Calls.Request("crash", Capability, 32, "fast");
        string volume = VolumeId.OfVolume("crash");
        string target = _driver.Target(volume, "pod");
        await AtEachStepAsync(() => _driver.CreateAsync(request), () => _driver.DeleteAsync(volume));
        await AtEachStepAsync(() => _driver.StageAsync(volume, Capability), async () =>
        {
            // Back to a volume that was never formatted.
            await _driver.UnstageAsync(volume);
            await _driver.DeleteAsync(volume);
            await _driver.CreateAsync(request);
        });
        await AtEachStepAsync(() => _driver.PublishAsync(volume, target, Capability), () => _driver.UnpublishAsync(volume, target));
        File.WriteAllBytes(_driver.In($"{target}/data"), data);
        string snapshot = VolumeId.OfSnapshot("crash");
        await AtEachStepAsync(() => _driver.SnapshotAsync("crash", volume), () => _driver.DeleteSnapshotAsync(snapshot));
        // Nothing stays frozen.
        File.WriteAllBytes(_driver.In($"{target}/more"), data);
        CreateVolumeRequest restore = Calls.Request("crash-restored", Capability, 64, "fast").From(snapshot: snapshot);
        string restored = VolumeId.OfVolume("crash-restored");
        await AtEachStepAsync(() => _driver.CreateAsync(restore), () => _driver.DeleteAsync(restored));
        await AtEachStepAsync(() => _driver.UnpublishAsync(volume, target), () => _driver.PublishAsync(volume, target, Capability));
        await AtEachStepAsync(() => _driver.UnstageAsync(volume), () => _driver.StageAsync(volume, Capability));
        long size = 32 * Calls.MiB;
        await AtEachStepAsync(() => _driver.ExpandAsync(volume, size), () =>
        {
            size += Calls.MiB;
            return Task.CompletedTask;
        });
        // Now with a file system that is there, and that has to grow.
        await AtEachStepAsync(() => _driver.StageAsync(volume, Capability), () => _driver.UnstageAsync(volume));
        await _driver.PublishAsync(volume, target, Capability);
        Assert.Equal(data, File.ReadAllBytes(_driver.In($"{target}/data")));
        Assert.Equal(data, File.ReadAllBytes(_driver.In($"{target}/more")));
        await _driver.ReleaseAsync(volume);
        Assert.Equal(data, File.ReadAllBytes(_driver.In($"{await _driver.UseAsync(restored, Capability, "restored")}/data")));
        await _driver.ReleaseAsync(restored, "restored");
        await AtEachStepAsync(() => _driver.DeleteSnapshotAsync(snapshot), () => _driver.SnapshotAsync("crash", volume));
        await AtEachStepAsync(() => _driver.DeleteAsync(volume), () => _driver.CreateAsync(request));
        await _driver.DeleteAsync(restored);
        _driver.AssertClean();
        Assert.InRange(_crashes, 35, 200);
    }

    [Fact]
    public async Task BlockCalls_KilledBeforeEachStep_SucceedWhenRepeatedAndLeaveNoDevice()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("crash-raw", Raw, 8));
        string target = _driver.Target(volume, "pod"), reader = _driver.Target(volume, "reader");
        await AtEachStepAsync(() => _driver.StageAsync(volume, Raw), () => _driver.UnstageAsync(volume));
        await AtEachStepAsync(() => _driver.PublishAsync(volume, target, Raw), () => _driver.UnpublishAsync(volume, target));
        _driver.Check("sh", "-c", $"printf kept | dd of={target} conv=fsync status=none");
        await AtEachStepAsync(() => _driver.PublishAsync(volume, reader, Raw, isReadOnly: true), () => _driver.UnpublishAsync(volume, reader));
        Assert.Equal("kept", _driver.Check("head", "--bytes", "4", reader).Output);
        await AtEachStepAsync(() => _driver.UnpublishAsync(volume, reader), () => _driver.PublishAsync(volume, reader, Raw, isReadOnly: true));
        Assert.Single(_driver.Loops());
        await _driver.UnpublishAsync(volume, target);
        await AtEachStepAsync(() => _driver.UnstageAsync(volume), () => _driver.StageAsync(volume, Raw));
        await _driver.DeleteAsync(volume);
        _driver.AssertClean();
    }

    [Theory]
    [InlineData("xfs", 320)]
    [InlineData("btrfs", 256)]
    public async Task Growth_KilledBeforeEachStep_ReachesThePodWhenRepeated(string type, int size)
    {
        VolumeCapability capability = Calls.Mount(type);
        CreateVolumeRequest request = Calls.Request($"grow-{type}", capability, size, "fast");
        request.Parameters["reservation"] = "reserved";
        string volume = VolumeId.OfVolume(request.Name), target = _driver.Target(volume, "pod");
        await AtEachStepAsync(() => _driver.CreateAsync(request), () => _driver.DeleteAsync(volume));
        await _driver.UseAsync(volume, capability);
        File.WriteAllText(_driver.In($"{target}/file"), "kept");
        // xfs counts its log as taken.
        long bytes = size * Calls.MiB, slack = (type == "xfs" ? 96 : 16) * Calls.MiB;
        long Grown() => bytes += 64 * Calls.MiB;
        await _driver.ExpandAsync(volume, Grown());
        await AtEachStepAsync(() => _driver.ExpandNodeAsync(volume, target, bytes), () => _driver.ExpandAsync(volume, Grown()));
        Assert.InRange((await _driver.StatsAsync(volume, target)).Usage[0].Total, bytes - slack, bytes);
        // Grown while it was nowhere: the next staging does it.
        await _driver.ReleaseAsync(volume);
        await _driver.ExpandAsync(volume, Grown());
        await AtEachStepAsync(() => _driver.StageAsync(volume, capability), async () =>
        {
            await _driver.UnstageAsync(volume);
            await _driver.ExpandAsync(volume, Grown());
        });
        await _driver.PublishAsync(volume, target, capability);
        Assert.InRange((await _driver.StatsAsync(volume, target)).Usage[0].Total, bytes - slack, bytes);
        Assert.Equal("kept", File.ReadAllText(_driver.In($"{target}/file")));
        await _driver.ReleaseAsync(volume);
        await _driver.DeleteAsync(volume);
        _driver.AssertClean();
    }

    [Theory]
    [InlineData("directory")]
    [InlineData("tmpfs")]
    public async Task StaticVolume_KilledBeforeEachStep_IsMountedOnceAndReleased(string kind)
    {
        VolumeCapability capability = Calls.Mount("", VolumeCapability.Types.AccessMode.Types.Mode.SingleNodeMultiWriter);
        string target = _driver.Target(kind, "pod");
        Dictionary<string, string> attributes = new() { ["type"] = kind };
        if (kind == "tmpfs") attributes["size"] = "16Mi";
        else attributes["source"] = $"{_driver.Folder}/shared";
        await AtEachStepAsync(() => _driver.StageAsync(kind, capability, context: attributes), () => _driver.UnstageAsync(kind));
        await AtEachStepAsync(() => _driver.PublishAsync(kind, target, capability), () => _driver.UnpublishAsync(kind, target));
        File.WriteAllText(_driver.In($"{target}/file"), "kept");
        Assert.Equal([target, _driver.Staging(kind)], _driver.Mounts().Order(StringComparer.Ordinal));
        await AtEachStepAsync(() => _driver.UnpublishAsync(kind, target), () => _driver.PublishAsync(kind, target, capability));
        Assert.Equal("kept", File.ReadAllText(_driver.In($"{_driver.Staging(kind)}/file")));
        await AtEachStepAsync(() => _driver.UnstageAsync(kind), () => _driver.StageAsync(kind, capability, context: attributes));
        if (kind == "directory") Assert.Equal("kept", File.ReadAllText($"{_driver.Folder}/shared/file"));
        _driver.AssertClean();
        Assert.InRange(_crashes, 8, 100);
    }

    [Fact]
    public async Task Copies_KilledBeforeEachStep_AreOfOneMomentWhenRepeated()
    {
        VolumeCapability[] kinds = [Capability, Raw];
        foreach (VolumeCapability capability in kinds)
        {
            // In a pool that cannot share blocks writers wait for all of the copy.
            string name = $"copies-{Capabilities.KindOf(capability)}", volume = await _driver.CreateIdAsync(Calls.Request(name, capability, 32));
            string target = await _driver.UseAsync(volume, capability);
            if (capability == Capability) File.WriteAllText(_driver.In($"{target}/file"), "kept");
            else _driver.Check("sh", "-c", $"printf kept | dd of={target} conv=fsync status=none");
            if (capability == Raw) await _driver.UnpublishAsync(volume, target);
            CreateVolumeRequest request = Calls.Request($"{name}-clone", capability, 32).From(volume: volume);
            string clone = VolumeId.OfVolume(request.Name);
            await AtEachStepAsync(() => _driver.CreateAsync(request), () => _driver.DeleteAsync(clone));
            string snapshot = VolumeId.OfSnapshot(name);
            await AtEachStepAsync(() => _driver.SnapshotAsync(name, volume), () => _driver.DeleteSnapshotAsync(snapshot));
            // Nothing stays frozen.
            if (capability == Capability) await Task.Run(() => File.WriteAllText(_driver.In($"{target}/later"), "later")).WaitAsync(DriverProcess.Patience);
            string copy = await _driver.UseAsync(clone, capability, "clone");
            Assert.Equal("kept", capability == Raw ? _driver.Check("head", "--bytes", "4", copy).Output : File.ReadAllText(_driver.In($"{copy}/file")));
            Assert.False(capability == Capability && File.Exists(_driver.In($"{copy}/later")));
            await _driver.ReleaseAsync(clone, "clone");
            await _driver.ReleaseAsync(volume);
            foreach (string one in new[] { clone, volume }) await _driver.DeleteAsync(one);
            await _driver.DeleteSnapshotAsync(snapshot);
        }
        _driver.AssertClean();
    }

    [Fact]
    public async Task Snapshot_KilledWhileTheFileSystemIsFrozen_IsThawedAtStart()
    {
        string volume = await _driver.CreateIdAsync(Calls.Request("frozen", Capability, 32, "fast"));
        string target = await _driver.UseAsync(volume, Capability);
        File.WriteAllText(_driver.In($"{target}/file"), "before");
        foreach (bool isClone in new[] { false, true })
        {
            CreateVolumeRequest request = Calls.Request("frozen-clone", Capability, 32, "fast").From(volume: volume);
            Func<Task> call = isClone ? () => _driver.CreateAsync(request) : () => _driver.SnapshotAsync("frozen", volume);
            File.WriteAllText(_driver.CrashFile!, $"{Guid.NewGuid()} copy");
            await Assert.ThrowsAsync<GrpcException>(call);
            File.Delete(_driver.CrashFile!);
            await _driver.EndedAsync();
            Assert.Contains("busy", _driver.Run("fsfreeze", "--freeze", target).Errors, StringComparison.Ordinal);

            await _driver.RunAsync();

            Assert.Equal(isClone ? 2 : 1, _driver.Log.Split("its file system was frozen; it was thawed").Length - 1);
            await Task.Run(() => File.WriteAllText(_driver.In($"{target}/file"), "after")).WaitAsync(DriverProcess.Patience);
            await call();
        }
        string clone = VolumeId.OfVolume("frozen-clone");
        Assert.Equal("after", File.ReadAllText(_driver.In($"{await _driver.UseAsync(clone, Capability, "clone")}/file")));
        await _driver.ReleaseAsync(clone, "clone");
        await _driver.ReleaseAsync(volume);
        foreach (string one in new[] { clone, volume }) await _driver.DeleteAsync(one);
        await _driver.DeleteSnapshotAsync(VolumeId.OfSnapshot("frozen"));
        _driver.AssertClean();
    }

    /// <summary>Kills the driver before the first, second … step of a call, until the call is through before it comes to that step.</summary>
    /// <param name="call">The call. It has succeeded when this returns.</param>
    /// <param name="undo">Brings back what was before it, between two of them.</param>
    private async Task AtEachStepAsync(Func<Task> call, Func<Task> undo)
    {
        for (int step = 1; ; step++)
        {
            if (step > 1) await undo();
            File.WriteAllText(_driver.CrashFile!, $"{Guid.NewGuid()} {step}");
            bool isThrough = true;
            try
            {
                await call();
            }
            catch (GrpcException exception) when (exception.Status is GrpcStatusCode.Unavailable or GrpcStatusCode.Cancelled or GrpcStatusCode.Internal)
            {
                isThrough = false;
            }
            File.Delete(_driver.CrashFile!);
            if (isThrough) return;
            _crashes++;
            await _driver.EndedAsync();
            await _driver.RunAsync();
            await call();
        }
    }
}
