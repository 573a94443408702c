using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.Tests;

/// <summary>Volumes that an administrator wrote down: what is allowed is mounted, all else refused.</summary>
public sealed class StaticVolumeTests(DriverProcess driver) : IClassFixture<DriverProcess>
{
    private static readonly VolumeCapability Many = Calls.Mount("", Mode.MultiNodeMultiWriter);

    [Fact]
    public async Task Directory_ThatIsAllowed_IsSharedByItsPodsAndKept()
    {
        const string volume = "shared/one";
        Dictionary<string, string> attributes = new() { ["type"] = "directory", ["source"] = $"{driver.Folder}/shared" };
        File.WriteAllText($"{driver.Folder}/shared/file", "host");
        await driver.StageAsync(volume, Many, driver.Staging("shared"), attributes);
        await driver.StageAsync(volume, Many, driver.Staging("shared"), attributes);
        await driver.PublishAsync(volume, driver.Target("shared", "one"), Many, staging: driver.Staging("shared"));
        await driver.PublishAsync(volume, driver.Target("shared", "two"), Many, isReadOnly: true, staging: driver.Staging("shared"));
        Assert.Equal("host", File.ReadAllText(driver.In($"{driver.Target("shared", "one")}/file")));
        File.WriteAllText(driver.In($"{driver.Target("shared", "one")}/file"), "pod");
        Assert.NotEqual(0, driver.Run("touch", $"{driver.Target("shared", "two")}/other").ExitCode);
        Assert.False((await driver.StatsAsync(volume, driver.Target("shared", "two"))).VolumeCondition.Abnormal);

        // The driver is killed and comes back: the volume is as it was.
        await driver.KillAsync();
        await driver.RunAsync();
        await driver.PublishAsync(volume, driver.Target("shared", "one"), Many, staging: driver.Staging("shared"));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.UnstageAsync(volume, driver.Staging("shared")));
        await driver.UnpublishAsync(volume, driver.Target("shared", "one"));
        await driver.UnpublishAsync(volume, driver.Target("shared", "two"));
        await driver.UnstageAsync(volume, driver.Staging("shared"));
        await driver.UnstageAsync(volume, driver.Staging("shared"));
        Assert.Equal("pod", File.ReadAllText($"{driver.Folder}/shared/file"));
        Assert.Empty(driver.Mounts());
        Assert.Empty(Directory.GetFiles(driver.State, "*.json"));
    }

    [Fact]
    public async Task Tmpfs_OfASize_HasItAndOneNode()
    {
        Dictionary<string, string> attributes = new() { ["type"] = "tmpfs", ["size"] = "16Mi" };
        VolumeCapability capability = Calls.Mount("", Mode.SingleNodeMultiWriter, "noexec", "mode=0750");
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync("scratch", Many, context: attributes));
        await driver.StageAsync("scratch", capability, context: attributes);
        await driver.PublishAsync("scratch", driver.Target("scratch", "pod"), capability);

        Assert.Equal(16 * Calls.MiB, (await driver.StatsAsync("scratch", driver.Target("scratch", "pod"))).Usage[0].Total);
        Assert.NotEqual(0, driver.Run("dd", "if=/dev/zero", $"of={driver.Target("scratch", "pod")}/file", "bs=1M", "count=20").ExitCode);

        await driver.ReleaseAsync("scratch");
        Assert.Empty(driver.Mounts());
    }

    [Theory]
    [InlineData("directory", "/etc", "", GrpcStatusCode.PermissionDenied)]
    [InlineData("directory", "FOLDER/shared/../pool", "", GrpcStatusCode.PermissionDenied)]
    [InlineData("directory", "FOLDER/shared/link", "", GrpcStatusCode.PermissionDenied)]
    [InlineData("directory", "FOLDER/shared/none", "", GrpcStatusCode.FailedPrecondition)]
    [InlineData("directory", "relative", "", GrpcStatusCode.InvalidArgument)]
    [InlineData("directory", "FOLDER/shared", "uid=0", GrpcStatusCode.InvalidArgument)]
    [InlineData("nfs", "192.0.2.2:/export", "", GrpcStatusCode.PermissionDenied)]
    [InlineData("nfs", "192.0.2.1:/exports", "", GrpcStatusCode.PermissionDenied)]
    [InlineData("nfs", "192.0.2.1:/export/../etc", "", GrpcStatusCode.PermissionDenied)]
    [InlineData("nfs", "192.0.2.1:/export", "unheard-of", GrpcStatusCode.InvalidArgument)]
    [InlineData("cifs", "//192.0.2.1/share", "password=x", GrpcStatusCode.InvalidArgument)]
    [InlineData("floppy", "/dev/fd0", "", GrpcStatusCode.InvalidArgument)]
    public async Task Source_OrFlagThatIsNotAllowed_IsRefused(string type, string source, string flag, GrpcStatusCode status)
    {
        if (!Path.Exists($"{driver.Folder}/shared/link")) File.CreateSymbolicLink($"{driver.Folder}/shared/link", "/etc");
        Dictionary<string, string> attributes = new() { ["type"] = type, ["source"] = source.Replace("FOLDER", driver.Folder, StringComparison.Ordinal) };
        string[] flags = flag.Length > 0 ? [flag] : [];

        await Calls.RefusedAsync(status, driver.StageAsync("refused", Calls.Mount("", Mode.MultiNodeMultiWriter, flags), context: attributes));

        Assert.Empty(driver.Mounts());
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.PublishAsync("refused", driver.Target("refused", "pod"), Many));
    }

    [Theory]
    [InlineData("nfs", "192.0.2.1:/export/home", "this kernel has no NFS client")]
    [InlineData("cifs", "//192.0.2.1/share", "this kernel has no CIFS client")]
    public async Task NetworkFileSystem_ThatTheKernelLacks_IsRefusedByNameAndShowsNoSecret(string type, string source, string message)
    {
        if (File.ReadAllText("/proc/filesystems").Contains($"\t{type}\n", StringComparison.Ordinal)) return;
        GrpcException refused = await Calls.RefusedAsync(
            GrpcStatusCode.FailedPrecondition,
            driver.CallAsync<NodeStageVolumeRequest, NodeStageVolumeResponse>("Node", "NodeStageVolume", new NodeStageVolumeRequest
            {
                VolumeId = $"remote-{type}",
                StagingTargetPath = driver.Staging($"remote-{type}"),
                VolumeCapability = Many,
                VolumeContext = { ["type"] = type, ["source"] = source },
                Secrets = { ["username"] = "user-of-the-test", ["password"] = "secret-of-the-test" },
            }));

        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret-of-the-test", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("of-the-test", driver.Log, StringComparison.Ordinal);
        Assert.DoesNotContain(Directory.GetFiles(driver.State, "*.json"), file => File.ReadAllText(file).Contains("of-the-test", StringComparison.Ordinal));
        Assert.Empty(Directory.GetFiles(driver.State, "static-*.json"));
        await driver.UnstageAsync($"remote-{type}");
    }
}
