using System.Text.Json;
using Overlay.Rpc.Security;
using Overlay.Testing;

namespace Overlay.Controller.Tests;

/// <summary>The controller by a gRPC client that is not ours.</summary>
public sealed class GrpcJsTests
{
    [Fact]
    public async Task Controller_ByGrpcJs_AdministersRegistersLeasesAndWatches()
    {
        await using var lab = new ControllerLab();
        await lab.StartAsync();
        lab.Issue("js", new CertificateIdentity(CertificateRole.Node, "js"), []);

        ProgramRun run = await Task.Run(() => ProgramRun.Check(
            "node", Path.Combine(AppContext.BaseDirectory, "client.js"), lab.Socket, $"127.0.0.1:{lab.Port}", lab.Folder,
            Path.Combine(AppContext.BaseDirectory, "control.proto"), GrpcJs.Modules));

        JsonElement[] answers = [.. run.Lines.Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal([0, 9, 0, 0, 0, 7], answers.Select(answer => answer.GetProperty("code").GetInt32()));
        Assert.Equal("VNI 42 is that of network 'pods'; choose another", answers[1].GetProperty("response").GetString());
        Assert.Equal("1", answers[2].GetProperty("response").GetProperty("generation").GetString());
        Assert.EndsWith("/26", answers[3].GetProperty("response").GetProperty("prefix").GetString(), StringComparison.Ordinal);
        Assert.Equal(3, answers[4].GetProperty("response").GetProperty("keys").GetArrayLength());
    }
}
