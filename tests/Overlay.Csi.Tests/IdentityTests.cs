using System.Diagnostics;
using System.Text.Json;
using Google.Protobuf.Reflection;
using Overlay.Csi.Protos;
using Overlay.Csi.Protos.Registration;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi.Tests;

/// <summary>The driver as a process: what it is, how it becomes known, how it ends.</summary>
public sealed class IdentityTests : IAsyncLifetime
{
    private DriverProcess _driver = null!;

    public async Task InitializeAsync() => _driver = await DriverProcess.StartAsync();

    public async Task DisposeAsync() => await _driver.DisposeAsync();

    [Fact]
    public async Task NodeGetInfo_OfTheNode_NamesItAndItsTopology()
    {
        NodeGetInfoResponse info = await _driver.CallAsync<NodeGetInfoRequest, NodeGetInfoResponse>("Node", "NodeGetInfo", new NodeGetInfoRequest());

        Assert.Equal(DriverProcess.Node, info.NodeId);
        Assert.Equal(DriverProcess.Node, info.AccessibleTopology.Segments["topology.csi.overlay.local/node"]);
    }

    [Fact]
    public async Task Registration_ByTheKubelet_TellsWhereTheDriverIs()
    {
        using GrpcChannel kubelet = GrpcChannel.ToSocket(_driver.RegistrationSocket);
        var service = PluginregistrationReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Registration");
        PluginInfo info = await kubelet.CallAsync(new GrpcMethod<InfoRequest, PluginInfo>(service, "GetInfo"), new InfoRequest(), DriverProcess.Patience);

        Assert.Equal(("CSIPlugin", "csi.overlay.local", _driver.Socket), (info.Type, info.Name, info.Endpoint));
        Assert.Equal(["1.0.0"], info.SupportedVersions);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(_driver.RegistrationSocket));

        await kubelet.CallAsync(
            new GrpcMethod<RegistrationStatus, RegistrationStatusResponse>(service, "NotifyRegistrationStatus"),
            new RegistrationStatus { PluginRegistered = false, Error = "on purpose" },
            DriverProcess.Patience);
        await _driver.EndedAsync();

        Assert.Equal(1, _driver.ExitCode);
    }

    [Fact]
    public async Task Driver_OnSigterm_EndsAndTakesItsSocketsAlong()
    {
        await _driver.TerminateAsync();

        Assert.Equal(0, _driver.ExitCode);
        Assert.False(File.Exists(_driver.Socket) || File.Exists(_driver.RegistrationSocket));
    }

    [Fact]
    public async Task Driver_AfterSigkill_ReplacesTheSocketsThatWereLeft()
    {
        await _driver.KillAsync();
        Assert.True(File.Exists(_driver.Socket));

        await _driver.RunAsync();
    }

    [Fact]
    public async Task Driver_BesideAnother_RefusesToStart()
    {
        using Process second = _driver.Launch();
        await second.WaitForExitAsync().WaitAsync(DriverProcess.Patience);

        Assert.Equal(1, second.ExitCode);
        await _driver.CallAsync<ProbeRequest, ProbeResponse>("Identity", "Probe", new ProbeRequest());
    }

    [Fact]
    public async Task Life_DrivenByGrpcJs_IsAnsweredInItsTerms()
    {
        JsonElement[] answers = await _driver.AskByGrpcJsAsync("client.js");
        JsonElement Of(string method) => answers.First(answer => answer.GetProperty("method").GetString() == method).GetProperty("response");

        Assert.Equal([.. Enumerable.Repeat(0, 17), 3, 5], answers.Select(answer => answer.GetProperty("code").GetInt32()));
        Assert.Equal("csi.overlay.local", Of("GetPluginInfo").GetProperty("name").GetString());
        Assert.Equal("20971520", Of("CreateVolume").GetProperty("volume").GetProperty("capacity_bytes").GetString());
        Assert.Equal("25165824", Of("ControllerExpandVolume").GetProperty("capacity_bytes").GetString());
        Assert.Equal(["BYTES", "INODES"], Of("NodeGetVolumeStats").GetProperty("usage").EnumerateArray().Select(usage => usage.GetProperty("unit").GetString()));
        Assert.Equal(2, Of("ListVolumes").GetProperty("entries").GetArrayLength());
        Assert.Equal("volume_capabilities is missing", answers[^2].GetProperty("response").GetString());
        _driver.AssertClean();
    }
}
