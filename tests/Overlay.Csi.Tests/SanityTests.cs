using System.Text.Json;

namespace Overlay.Csi.Tests;

/// <summary>What an orchestrator may rely on of each call, asked by a gRPC client that is not ours (<c>sanity.js</c>).</summary>
public sealed class SanityTests(DriverProcess driver) : IClassFixture<DriverProcess>
{
    [Fact]
    public async Task Calls_OfGrpcJs_AreAnsweredAsCsiOwes()
    {
        JsonElement[] cases = await driver.AskByGrpcJsAsync("sanity.js");

        Assert.Empty(cases.Where(one => one.GetProperty("expected").GetRawText() != one.GetProperty("actual").GetRawText()).Select(one => one.GetRawText()));
        Assert.InRange(cases.Length, 150, 400);
        driver.AssertClean();
    }
}
