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
        driver.Pools.Insert(0, $"fast=image:{driver.Folder}/fast.img,1Gi");
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
