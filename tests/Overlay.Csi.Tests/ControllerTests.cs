using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Overlay.Testing;
using Mode = Overlay.Csi.Protos.VolumeCapability.Types.AccessMode.Types.Mode;

namespace Overlay.Csi.Tests;

/// <summary>Volumes of a pool, made and removed by the real driver.</summary>
public sealed class ControllerTests : IAsyncLifetime
{
    private const long MiB = 1 << 20;

    private DriverProcess _driver = null!;

    public async Task InitializeAsync() => _driver = await DriverProcess.StartAsync();

    public async Task DisposeAsync() => await _driver.DisposeAsync();

    [Fact]
    public async Task CreateVolume_Twice_IsOneVolumeOfTheSize()
    {
        Volume first = (await _driver.CreateAsync(Request("claim"))).Volume;
        Volume second = (await _driver.CreateAsync(Request("claim"))).Volume;

        Assert.Equal(first, second);
        Assert.Equal(64 * MiB, first.CapacityBytes);
        Assert.Equal(64 * MiB, new FileInfo(ImageOf(first)).Length);
        Assert.Equal(DriverProcess.Node, first.AccessibleTopology.Single().Segments.Values.Single());
    }

    [Theory]
    [InlineData("size")]
    [InlineData("mode")]
    [InlineData("type")]
    [InlineData("reservation")]
    [InlineData("limit")]
    [InlineData("topology")]
    [InlineData("source")]
    [InlineData("mkfs")]
    public async Task CreateVolume_OfTheSameNameButDifferent_IsAlreadyExists(string difference)
    {
        await _driver.CreateAsync(Request("claim"));
        CreateVolumeRequest other = Request("claim");
        if (difference == "size") other.CapacityRange.RequiredBytes = 65 * MiB;
        if (difference == "mode") other.VolumeCapabilities[0].AccessMode.Mode = Mode.SingleNodeSingleWriter;
        if (difference == "type") other.VolumeCapabilities[0].Mount.FsType = "btrfs";
        if (difference == "reservation") other.Parameters["reservation"] = "reserved";

        if (difference == "limit") other.CapacityRange = new CapacityRange { LimitBytes = 32 * MiB };
        if (difference == "topology") other.AccessibilityRequirements = Requirement("node-b");
        if (difference == "source") other.From(snapshot: "snap-none");
        if (difference == "mkfs") other.Parameters["mkfsOptions"] = "-m 0";

        await RefusedAsync(GrpcStatusCode.AlreadyExists, _driver.CreateAsync(other));
    }

    [Theory]
    [InlineData("no name", GrpcStatusCode.InvalidArgument)]
    [InlineData("long name", GrpcStatusCode.InvalidArgument)]
    [InlineData("no capability", GrpcStatusCode.InvalidArgument)]
    [InlineData("no access mode", GrpcStatusCode.InvalidArgument)]
    [InlineData("many nodes", GrpcStatusCode.InvalidArgument)]
    [InlineData("unknown type", GrpcStatusCode.InvalidArgument)]
    [InlineData("unknown parameter", GrpcStatusCode.InvalidArgument)]
    [InlineData("unknown pool", GrpcStatusCode.InvalidArgument)]
    [InlineData("negative size", GrpcStatusCode.InvalidArgument)]
    [InlineData("small limit", GrpcStatusCode.OutOfRange)]
    [InlineData("small btrfs", GrpcStatusCode.OutOfRange)]
    [InlineData("another node", GrpcStatusCode.ResourceExhausted)]
    [InlineData("no space", GrpcStatusCode.ResourceExhausted)]
    public async Task CreateVolume_OfWhatCannotBe_IsRefusedAndLeavesNothing(string fault, GrpcStatusCode status)
    {
        CreateVolumeRequest request = Request(fault switch { "no name" => "", "long name" => new string('a', 129), _ => "claim" });
        if (fault == "no capability") request.VolumeCapabilities.Clear();
        if (fault == "no access mode") request.VolumeCapabilities[0].AccessMode = null;
        if (fault == "many nodes") request.VolumeCapabilities[0].AccessMode.Mode = Mode.MultiNodeMultiWriter;
        if (fault == "unknown type") request.VolumeCapabilities[0].Mount.FsType = "ntfs";
        if (fault == "unknown parameter") request.Parameters["sise"] = "1";
        if (fault == "unknown pool") request.Parameters["pool"] = "fast";
        if (fault == "negative size") request.CapacityRange.RequiredBytes = -1;
        if (fault == "small limit") request.CapacityRange = new CapacityRange { LimitBytes = 4096 };
        if (fault == "small btrfs") (request.VolumeCapabilities[0].Mount.FsType, request.CapacityRange.LimitBytes) = ("btrfs", 255 * MiB);
        if (fault == "another node") request.AccessibilityRequirements = Requirement("node-b");
        if (fault == "no space") request.CapacityRange.RequiredBytes = 1L << 60;

        await RefusedAsync(status, _driver.CreateAsync(request));

        Assert.Empty(Directory.GetFiles(_driver.Pool));
        Assert.Empty(Directory.GetFiles(_driver.State, "*.json"));
    }

    [Fact]
    public async Task CreateVolume_WithTheTypeAsParameter_TakesItWhereTheCapabilitiesLeaveItOpen()
    {
        CreateVolumeRequest request = Request("claim");
        request.VolumeCapabilities[0].Mount.FsType = "";
        request.CapacityRange.RequiredBytes = 320 * MiB;
        request.Parameters["fsType"] = "xfs";
        Volume volume = (await _driver.CreateAsync(request)).Volume;

        VolumeCapability xfs = request.VolumeCapabilities[0].Clone();
        xfs.Mount.FsType = "xfs";
        Assert.NotNull((await ValidateAsync(volume.VolumeId, xfs)).Confirmed);
        Assert.NotNull((await ValidateAsync(volume.VolumeId, request.VolumeCapabilities[0])).Confirmed);
        Assert.Null((await ValidateAsync(volume.VolumeId, Request("claim").VolumeCapabilities[0])).Confirmed);
        request.VolumeCapabilities[0].Mount.FsType = "btrfs";
        await RefusedAsync(GrpcStatusCode.InvalidArgument, _driver.CreateAsync(request));
        request.Parameters["fsType"] = "ntfs";
        await RefusedAsync(GrpcStatusCode.InvalidArgument, _driver.CreateAsync(request));
    }

    [Fact]
    public async Task CreateVolume_Reserved_TakesItsSpaceAtOnce()
    {
        CreateVolumeRequest request = Request("claim");
        request.Parameters["reservation"] = "reserved";
        Volume volume = (await _driver.CreateAsync(request)).Volume;

        long blocks = long.Parse(ProgramRun.Check("stat", "-c", "%b", ImageOf(volume)).Lines[0], System.Globalization.CultureInfo.InvariantCulture);

        Assert.True(blocks * 512 >= 64 * MiB, $"{blocks} blocks");
    }

    [Fact]
    public async Task GetCapacity_AfterAThinVolume_IsLessByItsSize()
    {
        CreateVolumeRequest large = Request("claim");
        large.CapacityRange.RequiredBytes = 4L << 30;
        long before = await CapacityAsync(new GetCapacityRequest());
        await _driver.CreateAsync(large);
        long after = await CapacityAsync(new GetCapacityRequest());

        // Others write to the same disk meanwhile.
        Assert.InRange(before - after, 3L << 30, 5L << 30);
        Assert.Equal(0, await CapacityAsync(new GetCapacityRequest { AccessibleTopology = Requirement("node-b").Requisite[0] }));
    }

    [Fact]
    public async Task DeleteVolume_OnceAndAgain_FreesItAndIsOk()
    {
        Volume volume = (await _driver.CreateAsync(Request("claim"))).Volume;
        await _driver.DeleteAsync(volume.VolumeId);
        await _driver.DeleteAsync(volume.VolumeId);

        Assert.Empty(Directory.GetFiles(_driver.Pool));
        Assert.Empty(Directory.GetFiles(_driver.State, "*.json"));
    }

    [Fact]
    public async Task DeleteVolume_WhileALoopDeviceReadsIt_IsFailedPrecondition()
    {
        Volume volume = (await _driver.CreateAsync(Request("claim"))).Volume;
        string device = ProgramRun.Check("losetup", "--find", "--show", ImageOf(volume)).Lines[0];
        try
        {
            GrpcException refused = await RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.DeleteAsync(volume.VolumeId));

            Assert.Contains(device, refused.Message, StringComparison.Ordinal);
            Assert.True(File.Exists(ImageOf(volume)));
        }
        finally
        {
            ProgramRun.Check("losetup", "--detach", device);
        }
    }

    [Fact]
    public async Task DeleteVolume_OfAReplacedImage_KeepsTheFile()
    {
        Volume volume = (await _driver.CreateAsync(Request("claim"))).Volume;
        File.Move(ImageOf(volume), $"{_driver.Folder}/original");
        File.WriteAllText(ImageOf(volume), "somebody's");

        await RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.DeleteAsync(volume.VolumeId));

        Assert.Equal("somebody's", File.ReadAllText(ImageOf(volume)));
    }

    [Fact]
    public async Task CreateVolume_WithTheStateLost_KeepsTheImageItDoesNotKnow()
    {
        Volume volume = (await _driver.CreateAsync(Request("claim"))).Volume;
        await _driver.KillAsync();
        Directory.Delete(_driver.State, recursive: true);
        File.WriteAllText(ImageOf(volume), "precious");
        await _driver.RunAsync();

        await RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.CreateAsync(Request("claim")));

        GrpcException refused = await RefusedAsync(GrpcStatusCode.FailedPrecondition, _driver.DeleteAsync(volume.VolumeId));
        Assert.Contains(ImageOf(volume), refused.Message, StringComparison.Ordinal);
        Assert.Contains($"image {ImageOf(volume)} has no record; it is kept", _driver.Log, StringComparison.Ordinal);
        Assert.Equal("precious", File.ReadAllText(ImageOf(volume)));
        File.Delete(ImageOf(volume));
        await _driver.DeleteAsync(volume.VolumeId);
        await _driver.CreateAsync(Request("claim"));
    }

    [Theory]
    [InlineData("creating", false)]
    [InlineData("creating", true)]
    [InlineData("deleting", true)]
    public async Task Driver_KilledWithinACall_FinishesItAfterwards(string phase, bool image)
    {
        Volume volume = (await _driver.CreateAsync(Request("claim"))).Volume;
        await _driver.KillAsync();
        string record = $"{_driver.State}/{volume.VolumeId}.json";
        string text = File.ReadAllText(record);
        Assert.Contains("\"ready\"", text, StringComparison.OrdinalIgnoreCase);
        File.WriteAllText(record, text.Replace("\"Ready\"", $"\"{char.ToUpperInvariant(phase[0])}{phase[1..]}\"", StringComparison.Ordinal));
        if (!image) File.Move(ImageOf(volume), $"{ImageOf(volume)}.new");
        await _driver.RunAsync();

        if (phase == "deleting")
        {
            Assert.Empty(Directory.GetFiles(_driver.Pool));
            Assert.Empty(Directory.GetFiles(_driver.State, "*.json"));
        }
        else
        {
            Assert.Equal(volume, (await _driver.CreateAsync(Request("claim"))).Volume);
            Assert.Equal([ImageOf(volume)], Directory.GetFiles(_driver.Pool));
        }
    }

    [Fact]
    public async Task CreateVolume_FiftyAtOnceOfTwoSizes_IsOneVolume()
    {
        async Task<GrpcStatusCode> Try(long bytes)
        {
            CreateVolumeRequest request = Request("claim");
            request.CapacityRange = new CapacityRange { RequiredBytes = bytes, LimitBytes = bytes };
            try
            {
                await _driver.CreateAsync(request);
                return GrpcStatusCode.Ok;
            }
            catch (GrpcException exception)
            {
                return exception.Status;
            }
        }
        GrpcStatusCode[] ends = await Task.WhenAll(Enumerable.Range(0, 50).Select(index => Try((64 + index % 2) * MiB)));

        Assert.Contains(GrpcStatusCode.Ok, ends);
        Assert.Empty(ends.Except([GrpcStatusCode.Ok, GrpcStatusCode.Aborted, GrpcStatusCode.AlreadyExists]));
        Assert.Single(Directory.GetFiles(_driver.Pool));
        Assert.Single(Directory.GetFiles(_driver.State, "*.json"));
    }

    [Fact]
    public async Task ListVolumes_ByPages_YieldsEachOnce()
    {
        var made = new List<string>();
        for (int number = 0; number < 5; number++) made.Add((await _driver.CreateAsync(Request($"claim-{number}"))).Volume.VolumeId);
        var listed = new List<string>();
        string token = "";
        do
        {
            ListVolumesResponse page = await ListAsync(new ListVolumesRequest { MaxEntries = 2, StartingToken = token });
            listed.AddRange(page.Entries.Select(entry => entry.Volume.VolumeId));
            token = page.NextToken;
        }
        while (token.Length > 0);

        Assert.Equal(made.Order(StringComparer.Ordinal), listed);
        await RefusedAsync(GrpcStatusCode.Aborted, ListAsync(new ListVolumesRequest { StartingToken = "elsewhere" }));
        await RefusedAsync(GrpcStatusCode.InvalidArgument, ListAsync(new ListVolumesRequest { MaxEntries = -1 }));
    }

    [Fact]
    public async Task ValidateVolumeCapabilities_OfAVolume_ConfirmsWhatItIsOnly()
    {
        Volume volume = (await _driver.CreateAsync(Request("claim"))).Volume;
        VolumeCapability many = Request("claim").VolumeCapabilities[0];
        many.AccessMode.Mode = Mode.MultiNodeMultiWriter;

        Assert.NotNull((await ValidateAsync(volume.VolumeId, Request("claim").VolumeCapabilities[0])).Confirmed);
        ValidateVolumeCapabilitiesResponse refused = await ValidateAsync(volume.VolumeId, many);
        Assert.Null(refused.Confirmed);
        Assert.Contains("MultiNodeMultiWriter", refused.Message, StringComparison.Ordinal);
        await RefusedAsync(GrpcStatusCode.NotFound, ValidateAsync("vol-none", many));
        VolumeCapability one = Request("claim").VolumeCapabilities[0];
        Assert.NotNull((await ValidateAsync(volume.VolumeId, one, request => request.Parameters.Add("pool", "images"))).Confirmed);
        foreach ((string key, string value) in new[] { ("pool", "other"), ("reservation", "reserved"), ("mkfsOptions", "-m 1"), ("fsType", "xfs") })
        {
            Assert.Contains(key, (await ValidateAsync(volume.VolumeId, one, request => request.Parameters.Add(key, value))).Message, StringComparison.Ordinal);
        }
        Assert.Contains("other", (await ValidateAsync(volume.VolumeId, one, request => request.VolumeContext.Add("pool", "other"))).Message, StringComparison.Ordinal);
    }

    private static CreateVolumeRequest Request(string name) => new()
    {
        Name = name,
        CapacityRange = new CapacityRange { RequiredBytes = 64 * MiB },
        VolumeCapabilities =
        {
            new VolumeCapability
            {
                Mount = new VolumeCapability.Types.MountVolume { FsType = "ext4" },
                AccessMode = new VolumeCapability.Types.AccessMode { Mode = Mode.SingleNodeWriter },
            },
        },
    };

    private static TopologyRequirement Requirement(string node) =>
        new() { Requisite = { new Topology { Segments = { ["topology.csi.overlay.local/node"] = node } } } };

    private static async Task<GrpcException> RefusedAsync(GrpcStatusCode status, Task call)
    {
        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(() => call);
        Assert.Equal((status, refused.Message), (refused.Status, refused.Message));
        return refused;
    }

    private string ImageOf(Volume volume) => $"{_driver.Pool}/{volume.VolumeId}.img";

    private async Task<long> CapacityAsync(GetCapacityRequest request) =>
        (await _driver.CallAsync<GetCapacityRequest, GetCapacityResponse>("Controller", "GetCapacity", request)).AvailableCapacity;

    private Task<ListVolumesResponse> ListAsync(ListVolumesRequest request) =>
        _driver.CallAsync<ListVolumesRequest, ListVolumesResponse>("Controller", "ListVolumes", request);

    private Task<ValidateVolumeCapabilitiesResponse> ValidateAsync(string id, VolumeCapability capability, Action<ValidateVolumeCapabilitiesRequest>? change = null)
    {
        var request = new ValidateVolumeCapabilitiesRequest { VolumeId = id, VolumeCapabilities = { capability } };
        change?.Invoke(request);
        return _driver.CallAsync<ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse>("Controller", "ValidateVolumeCapabilities", request);
    }
}
