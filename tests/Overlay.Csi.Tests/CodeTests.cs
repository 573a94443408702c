using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.Tests;

/// <summary>The codes that the orchestrator relies on, where a call is not answered with OK.</summary>
public sealed class CodeTests(DriverProcess driver) : IClassFixture<DriverProcess>
{
    private static readonly VolumeCapability Ext4 = Calls.Mount("ext4");

    [Fact]
    public async Task Calls_ThatLackSomething_AreInvalidArgument()
    {
        string path = $"{driver.Folder}/lack/target";
        Task[] calls =
        [
            driver.StageAsync("", Ext4),
            driver.StageAsync("vol", Ext4, path: ""),
            driver.CallAsync<NodeStageVolumeRequest, NodeStageVolumeResponse>("Node", "NodeStageVolume", new NodeStageVolumeRequest { VolumeId = "vol", StagingTargetPath = path }),
            driver.StageAsync("vol", new VolumeCapability()),
            driver.StageAsync("vol", Calls.Mount("ext4", Mode.Unknown)),
            driver.StageAsync("vol", Ext4, path: "relative"),
            driver.StageAsync("vol", Ext4, path: "/"),
            driver.StageAsync("vol", Ext4, path: driver.Folder),
            driver.StageAsync("vol", Ext4, path: driver.Pool),
            driver.StageAsync("vol", Ext4, path: $"{driver.Pool}/vol-1.img"),
            driver.StageAsync("vol", Ext4, path: $"{driver.State}/vol-1.json/staging"),
            driver.StageAsync("vol", Ext4, path: $"{driver.State}/snapshots/staging"),
            driver.StageAsync("vol", Ext4, path: $"{driver.State}/pools/fast/staging"),
            driver.StageAsync("vol", Ext4, path: $"{path}\0"),
            driver.StageAsync("vol", Calls.Mount(new string('t', 129))),
            driver.StageAsync("vol", Calls.Mount("ext4", Mode.SingleNodeWriter, new string('f', 4097))),
            driver.StageAsync("vol", Ext4, context: new Dictionary<string, string> { ["key"] = new string('c', 4096) }),
            driver.StageAsync(new string('v', 129), Ext4),
            driver.UnstageAsync("", path),
            driver.UnstageAsync("vol", ""),
            driver.PublishAsync("", path, Ext4),
            driver.PublishAsync("vol", "", Ext4),
            driver.PublishAsync("vol", $"{driver.Folder}/a/../b", Ext4),
            driver.PublishAsync("vol", $"{driver.Folder}/{new string('p', 4096)}", Ext4),
            driver.PublishAsync("vol", $"{path}/", Ext4, staging: path),
            driver.PublishAsync("vol", $"{path}/inside", Ext4, staging: path),
            driver.PublishAsync("vol", path, Ext4, staging: $"{path}/inside"),
            driver.CallAsync<NodePublishVolumeRequest, NodePublishVolumeResponse>(
                "Node", "NodePublishVolume", new NodePublishVolumeRequest { VolumeId = "vol", StagingTargetPath = path, TargetPath = path }),
            driver.UnpublishAsync("", path),
            driver.UnpublishAsync("vol", ""),
            driver.StatsAsync("", path),
            driver.StatsAsync("vol", ""),
            driver.ExpandNodeAsync("", path, 1),
            driver.ExpandNodeAsync("vol", "", 1),
            driver.ExpandAsync("", 1),
            driver.CallAsync<ControllerExpandVolumeRequest, ControllerExpandVolumeResponse>(
                "Controller", "ControllerExpandVolume", new ControllerExpandVolumeRequest { VolumeId = "vol" }),
            driver.SnapshotAsync("", "vol"),
            driver.SnapshotAsync("snap", ""),
            driver.DeleteSnapshotAsync(""),
            driver.DeleteAsync(""),
            driver.ListSnapshotsAsync(new ListSnapshotsRequest { MaxEntries = -1 }),
        ];
        foreach (Task call in calls) await Calls.RefusedAsync(GrpcStatusCode.InvalidArgument, call);
    }

    [Fact]
    public async Task Calls_OnWhatIsNotThere_AreNotFoundOrDone()
    {
        string path = $"{driver.Folder}/none/target";
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.StageAsync("vol-none", Ext4));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.PublishAsync("vol-none", path, Ext4));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.StatsAsync("vol-none", path));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.StatsAsync("vol-none", $"{path}\0"));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.ExpandNodeAsync("vol-none", path, 1));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.CreateAsync(Calls.Request("of-itself", Ext4, 32).From(volume: VolumeId.OfVolume("of-itself"))));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.ExpandAsync("vol-none", 1));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.SnapshotAsync("of-none", "vol-none"));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.CreateAsync(Calls.Request("from-none", Ext4, 32).From(snapshot: "snap-none")));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.CreateAsync(Calls.Request("from-none", Ext4, 32).From(volume: "vol-none")));
        await driver.UnpublishAsync("vol-none", path);
        await driver.UnstageAsync("vol-none", path);
        await driver.DeleteAsync("vol-none");
        await driver.DeleteSnapshotAsync("snap-none");
        Assert.Empty((await driver.ListSnapshotsAsync(new ListSnapshotsRequest { SnapshotId = "snap-none" })).Entries);
        Assert.Empty((await driver.ListSnapshotsAsync(new ListSnapshotsRequest { SourceVolumeId = "vol-none" })).Entries);
        await Calls.RefusedAsync(GrpcStatusCode.Aborted, driver.ListSnapshotsAsync(new ListSnapshotsRequest { StartingToken = "elsewhere" }));
    }

    [Fact]
    public async Task Delete_OfWhatIsOfTheOtherSort_IsDoneAndLeavesIt()
    {
        string volume = await driver.CreateIdAsync(Calls.Request("sorts", Ext4, 32));
        Snapshot snapshot = await driver.SnapshotAsync("sorts", volume);

        await driver.DeleteSnapshotAsync(volume);
        await driver.DeleteAsync(snapshot.SnapshotId);

        Assert.True(File.Exists($"{driver.Pool}/{volume}.img") && File.Exists($"{driver.Pool}/{snapshot.SnapshotId}.img"));
        await driver.DeleteSnapshotAsync(snapshot.SnapshotId);
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task Calls_WithWhatCsiDoesNotKnow_AreInvalidArgument()
    {
        const Mode unknown = (Mode)99;
        Dictionary<string, string> attributes = new() { ["type"] = "tmpfs", ["size"] = "1Mi" };
        await Calls.RefusedAsync(GrpcStatusCode.InvalidArgument, driver.StageAsync("mode-99", Calls.Mount("", unknown), context: attributes));
        await Calls.RefusedAsync(GrpcStatusCode.InvalidArgument, driver.CreateAsync(Calls.Request("mode-99", Calls.Mount("ext4", unknown), 32)));
        foreach (string name in new[] { "bell\a", "\0", "c1\u0085" }) await Calls.RefusedAsync(GrpcStatusCode.InvalidArgument, driver.CreateAsync(Calls.Request(name, Ext4, 32)));
        await driver.DeleteAsync(await driver.CreateIdAsync(Calls.Request("tab\tand a/../slash \u2603", Ext4, 32)));
    }

    [Fact]
    public async Task Publish_ThatFails_LeavesNeitherTargetNorRecord()
    {
        string volume = await driver.CreateIdAsync(Calls.Request("publish-fails", Ext4, 32));
        await driver.StageAsync(volume, Ext4);
        string record = File.ReadAllText($"{driver.State}/{volume}.json");
        string folder = Directory.CreateDirectory($"{driver.Folder}/publish-fails").FullName;
        File.WriteAllText($"{folder}/file", "kept");
        File.CreateSymbolicLink($"{folder}/link", "/etc");

        await Calls.RefusedAsync(GrpcStatusCode.Internal, driver.PublishAsync(volume, $"{folder}/file/mount", Ext4));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, $"{folder}/link", Ext4));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, $"{folder}/file", Ext4));

        Assert.Equal(record, File.ReadAllText($"{driver.State}/{volume}.json"));
        Assert.Equal(["file", "link"], Directory.GetFileSystemEntries(folder).Select(Path.GetFileName).Order());
        Assert.Equal("kept", File.ReadAllText($"{folder}/file"));
        await driver.UnstageAsync(volume);
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task Publish_BesideASingleWriter_IsFailedPreconditionWhateverTheMode()
    {
        VolumeCapability many = Calls.Mount("ext4", Mode.SingleNodeMultiWriter);
        string volume = await driver.CreateIdAsync(Calls.Request("alone", many, 32));
        await driver.StageAsync(volume, many);
        await driver.PublishAsync(volume, driver.Target(volume, "alone"), Calls.Mount("ext4", Mode.SingleNodeSingleWriter));

        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, driver.Target(volume, "second"), many));

        await driver.UnpublishAsync(volume, driver.Target(volume, "alone"));
        await driver.PublishAsync(volume, driver.Target(volume, "second"), many);
        await driver.ReleaseAsync(volume, "second");
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task Stage_AgainOrOtherwise_IsOkOrAlreadyExists()
    {
        string volume = await driver.CreateIdAsync(Calls.Request("stage-codes", Ext4, 32));
        await driver.StageAsync(volume, Ext4);
        await driver.StageAsync(volume, Ext4);
        await Calls.RefusedAsync(GrpcStatusCode.AlreadyExists, driver.StageAsync(volume, Calls.Mount("ext4", Mode.SingleNodeWriter, "noatime")));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, Ext4, $"{driver.Folder}/elsewhere"));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, Calls.Mount("xfs")));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, Calls.Block()));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.StageAsync(volume, Calls.Mount("ext4", Mode.MultiNodeMultiWriter)));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.DeleteAsync(volume));
        await driver.UnstageAsync(volume);
        await driver.UnstageAsync(volume);
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task Publish_AgainOrOtherwise_IsOkOrTheCodeOfTheDifference()
    {
        string volume = await driver.CreateIdAsync(Calls.Request("publish-codes", Ext4, 32));
        string target = driver.Target(volume, "pod");
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, target, Ext4, staging: ""));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, target, Ext4));
        Assert.False(Directory.Exists(target));
        await driver.UseAsync(volume, Ext4);
        await driver.PublishAsync(volume, target, Ext4);
        await Calls.RefusedAsync(GrpcStatusCode.AlreadyExists, driver.PublishAsync(volume, target, Ext4, isReadOnly: true));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, driver.Target(volume, "second"), Ext4));
        await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.UnstageAsync(volume));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.StatsAsync(volume, "relative/path"));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.StatsAsync(volume, driver.Folder));
        await Calls.RefusedAsync(GrpcStatusCode.NotFound, driver.ExpandNodeAsync(volume, driver.Folder, 1));
        await Calls.RefusedAsync(GrpcStatusCode.OutOfRange, driver.ExpandNodeAsync(volume, target, 1L << 40));
        await driver.UnpublishAsync(volume, target);
        await driver.UnpublishAsync(volume, target);
        await driver.UnstageAsync(volume);
        await driver.DeleteAsync(volume);
    }

    [Theory]
    [InlineData(nameof(Mode.SingleNodeWriter), false)]
    [InlineData(nameof(Mode.SingleNodeSingleWriter), false)]
    [InlineData(nameof(Mode.SingleNodeMultiWriter), true)]
    public async Task Publish_AtASecondTarget_IsAsTheAccessModeAllows(string mode, bool isAllowed)
    {
        VolumeCapability capability = Calls.Mount("ext4", Enum.Parse<Mode>(mode));
        string volume = await driver.CreateIdAsync(Calls.Request($"mode-{mode}", capability, 32));
        await driver.UseAsync(volume, capability, "one");

        if (isAllowed) await driver.PublishAsync(volume, driver.Target(volume, "two"), capability);
        else await Calls.RefusedAsync(GrpcStatusCode.FailedPrecondition, driver.PublishAsync(volume, driver.Target(volume, "two"), capability));

        await driver.UnpublishAsync(volume, driver.Target(volume, "two"));
        await driver.ReleaseAsync(volume, "one");
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task Snapshots_AgainOrOtherwise_AreTheSameOrTheCodeOfTheDifference()
    {
        string volume = await driver.CreateIdAsync(Calls.Request("snap-codes", Ext4, 32));
        string other = await driver.CreateIdAsync(Calls.Request("snap-codes-2", Ext4, 32));
        Snapshot snapshot = await driver.SnapshotAsync("codes", volume);
        Assert.Equal(snapshot, await driver.SnapshotAsync("codes", volume));
        await Calls.RefusedAsync(GrpcStatusCode.AlreadyExists, driver.SnapshotAsync("codes", other));
        Snapshot second = await driver.SnapshotAsync("codes-2", other);
        ListSnapshotsResponse page = await driver.ListSnapshotsAsync(new ListSnapshotsRequest { MaxEntries = 1 });
        Assert.Single(page.Entries);
        Assert.Single((await driver.ListSnapshotsAsync(new ListSnapshotsRequest { StartingToken = page.NextToken })).Entries);
        Assert.Equal(second, (await driver.ListSnapshotsAsync(new ListSnapshotsRequest { SourceVolumeId = other })).Entries.Single().Snapshot);
        Assert.Equal(snapshot, (await driver.ListSnapshotsAsync(new ListSnapshotsRequest { SnapshotId = snapshot.SnapshotId })).Entries.Single().Snapshot);

        await Calls.RefusedAsync(GrpcStatusCode.OutOfRange, driver.CreateAsync(Calls.Request("small", Ext4, 16).From(snapshot: snapshot.SnapshotId)));
        await Calls.RefusedAsync(GrpcStatusCode.InvalidArgument, driver.CreateAsync(Calls.Request("other-kind", Calls.Mount("btrfs"), 256).From(snapshot: snapshot.SnapshotId)));
        await driver.CreateAsync(Calls.Request("of-source", Ext4, 32).From(snapshot: snapshot.SnapshotId));
        await Calls.RefusedAsync(GrpcStatusCode.AlreadyExists, driver.CreateAsync(Calls.Request("of-source", Ext4, 32)));
    }

    [Theory]
    [InlineData("ext4", "-O ^metadata_csum -m 1", null)]
    [InlineData("ext4", "-d /etc", "-d")]
    [InlineData("ext4", "-E", "-E")]
    [InlineData("xfs", "-l logdev=/dev/sda", "-l")]
    [InlineData("block", "-m 1", "block")]
    [InlineData("ext4", "-E offset=1048576", "-E")]
    [InlineData("ext4", "-O journal_dev", "-O")]
    [InlineData("ext4", "-b 1000", "mkfs.ext4: ")]
    [InlineData("xfs", "-m uuid=11111111-2222-4333-8444-555555555555", "-m")]
    [InlineData("xfs", "-i maxpct=900", "mkfs.xfs: ")]
    [InlineData("btrfs", "-n 3", "mkfs.btrfs: ")]
    public async Task CreateVolume_WithMkfsOptions_TakesThoseThatShapeTheFileSystem(string kind, string options, string? refused)
    {
        CreateVolumeRequest request = Calls.Request($"mkfs-{kind}-{options.Length}", Calls.Of(kind), kind == "xfs" ? 320 : kind == "btrfs" ? 256 : 32);
        request.Parameters["mkfsOptions"] = options;
        if (refused is not null)
        {
            Assert.Contains(refused, (await Calls.RefusedAsync(GrpcStatusCode.InvalidArgument, driver.CreateAsync(request))).Message, StringComparison.Ordinal);
            return;
        }
        string volume = await driver.CreateIdAsync(request);
        await driver.StageAsync(volume, Calls.Of(kind));
        string features = driver.Check("dumpe2fs", "-h", driver.Loops().Single()).Output;
        Assert.DoesNotContain("metadata_csum", features, StringComparison.Ordinal);
        await driver.UnstageAsync(volume);
        await driver.DeleteAsync(volume);
    }

    [Fact]
    public async Task GetCapabilities_OfAll_NameWhatIsServed()
    {
        NodeGetCapabilitiesResponse node = await driver.CallAsync<NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse>("Node", "NodeGetCapabilities", new NodeGetCapabilitiesRequest());
        Assert.Equal([1, 2, 3, 4, 5], node.Capabilities.Select(capability => (int)capability.Rpc.Type));
        ControllerGetCapabilitiesResponse controller = await driver.CallAsync<ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse>(
            "Controller", "ControllerGetCapabilities", new ControllerGetCapabilitiesRequest());
        Assert.Equal([1, 3, 4, 5, 6, 7, 9, 13], controller.Capabilities.Select(capability => (int)capability.Rpc.Type));
    }
}
