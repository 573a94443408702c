using Overlay.Agent.Configuration;
using Overlay.Agent.Pods;

namespace Overlay.Agent.Tests.Configuration;

public sealed class PodsConfigurationTests
{
    private const string Pods = "pods:\n  segment: pods\n  ranges: [10.244.1.0/24, \"fd00:244:1::/112\"]\n";

    [Fact]
    public void Parse_Pods_HasDefaults()
    {
        PodsOptions pods = SampleConfiguration.Read(SampleConfiguration.Text + Pods).Pods!;

        Assert.Equal(["10.244.1.0/24", "fd00:244:1::/112"], pods.Ranges.Select(range => range.ToString()));
        Assert.Null(pods.Bridge);
        Assert.Null(pods.Conflist);
        Assert.True(pods.Masquerade);
        Assert.Equal(("/run/overlay/cni.sock", "/var/lib/overlay/pods"), (pods.Socket.Value, pods.State.Value));
        Assert.Null(SampleConfiguration.Read().Pods);
    }

    [Theory]
    [InlineData("  segment: nope\n  ranges: [10.244.1.0/24]\n", "'segment' of pods is 'nope', which is not listed; did you mean")]
    [InlineData("  ranges: [10.244.1.0/24]\n", "pods has no 'segment'")]
    [InlineData("  segment: pods\n", "pods have no 'ranges'")]
    [InlineData("  segment: pods\n  ranges: [10.244.1.0/31]\n", "is too small; write at most /30")]
    [InlineData("  segment: pods\n  ranges: [10.244.1.0/24, 10.244.1.128/25]\n", "overlaps 10.244.1.0/24")]
    [InlineData("  segment: pods\n  ranges: [10.244.2.0/23]\n", "route 10.244.2.0/24 lies in the range 10.244.2.0/23")]
    [InlineData("  segment: pods\n  ranges: [10.244.1.0/24]\n  reserved: [10.9.9.9]\n", "reserved address 10.9.9.9 is in none of the pods' ranges")]
    [InlineData("  segment: pods\n  ranges: [10.244.1.0/24]\n  bridge: br0\n", "'bridge' of pods is for 'mode: bridge'")]
    [InlineData("  segment: pods\n  mode: bridge\n  ranges: [10.244.1.0/24, 10.244.8.0/24]\n", "is the bridge's second of its family")]
    [InlineData("  segment: pods\n  ranges: [10.244.1.0/24]\n  masquerade: false\n  masqueradeExclude: [10.0.0.0/8]\n", "has no meaning without masquerading")]
    [InlineData("  segment: pods\n  ranges: [10.244.1.0/24]\n  state: pods\n", "'pods' is no absolute path")]
    [InlineData("  segment: pods\n  ranges: [10.244.1.0/24]\n  conflist: { path: /etc/cni/net.d/x.conf }\n", "does not end in .conflist")]
    [InlineData("  segment: pods\n  ranges: [10.244.1.0/24]\n  conflist: { path: /x.conflist, version: 0.2.0 }\n", "'0.2.0' is not known")]
    [InlineData("  segment: pods\n  range: [10.244.1.0/24]\n", "did you mean 'ranges'?")]
    public void Parse_WrongPods_IsRefusedWithARemedy(string section, string expected)
    {
        string[] refusals = SampleConfiguration.Refusals(SampleConfiguration.Text + "pods:\n" + section);

        Assert.Contains(refusals, refusal => refusal.StartsWith("overlay.yaml:", StringComparison.Ordinal) && refusal.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Content_OfConflist_TellsPlacesOnlyWhereTheyAreUnusual()
    {
        PodsOptions usual = SampleConfiguration.Read(SampleConfiguration.Text + Pods + "  conflist: { path: /x.conflist, plugins: [portmap, bandwidth, firewall] }\n").Pods!;
        PodsOptions unusual = usual with { Socket = new("/a.sock", 1), State = new("/b", 1) };

        Assert.DoesNotContain("socket", new ConflistFile(usual.Conflist!, usual).Content(), StringComparison.Ordinal);
        string content = new ConflistFile(unusual.Conflist!, unusual).Content();
        Assert.Contains("\"socket\": \"/a.sock\"", content, StringComparison.Ordinal);
        Assert.Contains("\"pending\": \"/b/pending\"", content, StringComparison.Ordinal);
        Assert.Contains("\"bandwidth\": true", content, StringComparison.Ordinal);
    }
}
