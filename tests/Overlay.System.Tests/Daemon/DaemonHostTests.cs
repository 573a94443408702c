using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Daemon;

/// <summary>A host that is changed under the daemon, or does not let it change what it would like to.</summary>
public sealed class DaemonHostTests
{
    private const string ReadOnlySysctls = """mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$0" "$@" """;

    [Fact]
    public async Task Run_DeviceSetDownAndUp_EverythingIsPutBack()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        RunningProcess daemon = await node.StartAsync();
        string before = await node.Host.StateAsync();

        await node.Host.IpAsync("link set overlay0 down");
        await daemon.WaitForTextAsync("the device 'overlay0' was set down by somebody", LoneNode.Deadline);
        await node.Host.IpAsync("link set overlay0 up");
        await daemon.WaitForTextAsync("had lost addresses or neighbours to somebody; they are back", LoneNode.Deadline);
        await daemon.WaitForTextAsync("of overlayd's routes were taken, changed or left over; they are as they should be", LoneNode.Deadline);

        Assert.Equal(before, await node.Host.StateAsync());
        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));
    }

    [Fact]
    public async Task Start_ReadOnlySysctls_ForwardsAndSaysWhatItDoesWithout()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        node.Write(LoneNode.Configuration.Replace("udp-gso", "auto", StringComparison.Ordinal));

        RunningProcess daemon = await node.StartAsync("unshare", "--mount", "sh", "-c", ReadOnlySysctls);

        Assert.Equal("udp-gso", (await node.StatusAsync()).GetProperty("underlay").GetProperty("mode").GetString());
        await daemon.WaitForTextAsync("net/ipv6/conf/overlay0/addr_gen_mode stays 0, where 1 is wanted: ", LoneNode.Deadline);
        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));
    }

    [Fact]
    public async Task Start_Ipv6DisabledOnTheHost_IsRefusedWithTheRemedyAndForwardsWithoutIpv6()
    {
        await using LoneNode node = await LoneNode.CreateAsync();
        await node.Host.SysctlAsync("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1");
        string before = await node.Host.StateAsync();

        RunningProcess refused = node.Launch();

        Assert.Equal(1, await LoneNode.EndAsync(refused));
        Assert.Contains("segment 'pods' has the IPv6 address or route fd00:244:1::, but IPv6 is disabled on its device 'overlay0'", refused.Errors, StringComparison.Ordinal);
        Assert.Contains("net.ipv6.conf.all.disable_ipv6=0", refused.Errors, StringComparison.Ordinal);
        Assert.Equal(before, await node.Host.StateAsync());

        node.Write(LoneNode.Configuration
            .Replace(", \"fd00:244:1::/128\"", "", StringComparison.Ordinal)
            .Replace("  - { prefix: \"fd00:244:2::/64\", peer: node-b }\n", "", StringComparison.Ordinal));
        RunningProcess daemon = await node.StartAsync();
        Assert.Equal(0, await LoneNode.TerminateAsync(daemon));
    }
}
