using System.Net;
using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Pods;

/// <summary>Pods of two nodes, wired by the plugin as a runtime calls it.</summary>
public sealed class PodNetworkTests(PodLabFixture fixture) : IClassFixture<PodLabFixture>
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private PodNode A => fixture.Lab.A;

    private PodNode B => fixture.Lab.B;

    [Fact]
    public async Task Add_PodsOfTwoNodes_TalkBothFamiliesWithoutNat()
    {
        (TestPod a, CniOutcome addedA) = await A.AddPodAsync("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a");
        (TestPod b, CniOutcome addedB) = await B.AddPodAsync();

        for (int family = 0; family < 2; family++)
        {
            IReadOnlyList<IPAddress> seen = await TcpCheck.RunAsync(a.Space, b.Space, addedB.Addresses[family], 1, 4 << 20);
            Assert.Equal([IPAddress.Parse(addedA.Addresses[family])], seen);
            PingResult back = await Ping.RunAsync(b.Space, addedA.Addresses[family], count: 2);
            Assert.True(back.Received == 2, back.Transcript);
        }
    }

    [Fact]
    public async Task Metrics_AfterAnAdd_TellItsTimeAndTheAddressesInUse()
    {
        await A.AddPodAsync();

        using var http = new HttpClient(Rpc.Hosting.UnixSocketHttp.CreateHandler(A.Daemon.Socket)) { BaseAddress = new Uri("http://localhost"), Timeout = Deadline };
        string text = await http.GetStringAsync(new Uri(Rpc.LocalApi.MetricsPath, UriKind.Relative));

        Assert.Matches("\noverlay_cni_duration_seconds_count\\{command=\"ADD\",code=\"0\"\\} [1-9]", text);
        foreach (string family in new[] { "ipv4", "ipv6" })
        {
            Assert.Matches($"\noverlay_ipam_addresses\\{{network=\"pods\",family=\"{family}\",state=\"used\"\\}} [1-9]", text);
            Assert.Contains($"\noverlay_ipam_exhaustion_seconds{{network=\"pods\",family=\"{family}\"}} ", text, StringComparison.Ordinal);
        }
        CommandResult check = await Command.RunAsync(Deadline, text, "promtool", "check", "metrics");
        Assert.True(check.ExitCode == 0 && check.Output.Length == 0 && check.Errors.Length == 0, check.Transcript);
    }

    [Fact]
    public async Task Add_PodsOfOneNode_TalkBothFamiliesWithoutNat()
    {
        (TestPod one, CniOutcome first) = await A.AddPodAsync();
        (TestPod other, CniOutcome second) = await A.AddPodAsync();

        for (int family = 0; family < 2; family++)
        {
            IReadOnlyList<IPAddress> seen = await TcpCheck.RunAsync(one.Space, other.Space, second.Addresses[family], 1, 1 << 20);
            Assert.Equal([IPAddress.Parse(first.Addresses[family])], seen);
        }
        Assert.Empty(first.Addresses.Intersect(second.Addresses));
    }

    [Fact]
    public async Task Add_FromTheNode_PodsOfBothNodesAnswer()
    {
        (TestPod near, CniOutcome addedNear) = await A.AddPodAsync();
        (_, CniOutcome addedFar) = await B.AddPodAsync();

        foreach (string address in addedNear.Addresses.Concat(addedFar.Addresses))
        {
            PingResult answers = await Ping.RunAsync(A.Node.Host, address, count: 2);
            Assert.True(answers.Received == 2, answers.Transcript);
        }
        PingResult toNode = await Ping.RunAsync(near.Space, A.Node.Underlay4);
        Assert.True(toNode.Received == 1, toNode.Transcript);
    }

    [Fact]
    public async Task Add_Result_SaysWhatTheKernelHas()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();

        JsonNode result = added.Json;
        Assert.Equal("1.1.0", (string)result["cniVersion"]!);
        JsonNode inside = result["interfaces"]![1]!;
        Assert.Equal(("eth0", pod.Path), ((string)inside["name"]!, (string)inside["sandbox"]!));
        JsonNode link = JsonNode.Parse(await pod.Space.CheckAsync("ip", "-j", "-d", "link", "show", "eth0"))![0]!;
        Assert.Equal((string)inside["mac"]!, (string)link["address"]!);
        Assert.Equal(A.Node.OverlayMtu, (int)link["mtu"]!);
        Assert.Equal(A.Node.OverlayMtu, (int)inside["mtu"]!);
        string addresses = await pod.Space.CheckAsync("ip", "-o", "address", "show", "dev", "eth0", "scope", "global");
        foreach (JsonNode? ip in result["ips"]!.AsArray()) Assert.Contains((string)ip!["address"]!, addresses, StringComparison.Ordinal);
        Assert.Equal(["0.0.0.0/0", "::/0"], result["routes"]!.AsArray().Select(route => (string)route!["dst"]!));
        string host = (string)result["interfaces"]![0]!["name"]!;
        Assert.Contains(host, await A.Node.Host.CheckAsync("ip", "route", "show", added.Addresses[0]), StringComparison.Ordinal);
        Assert.Equal(0, (await A.CallAsync("CHECK", Checking(result), pod.ContainerId, pod.Path, "eth0")).Code);
        Assert.Equal(0, (await A.CallAsync("STATUS", PodNode.ConfigurationOf("1.1.0"))).Code);

        await pod.Space.IpAsync($"address del {result["ips"]![0]!["address"]} dev eth0");
        CniOutcome failed = await A.CallAsync("CHECK", Checking(result), pod.ContainerId, pod.Path, "eth0");
        Assert.Equal(102, failed.Code);
        Assert.Contains(added.Addresses[0], failed.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0.3.1")]
    [InlineData("0.4.0")]
    [InlineData("1.0.0")]
    public async Task Add_OlderVersion_IsAnsweredInIt(string version)
    {
        TestPod pod = await A.CreatePodAsync();

        CniOutcome added = await A.AddAsync(pod, configuration: PodNode.ConfigurationOf(version));

        Assert.Equal(version, (string)added.Json["cniVersion"]!);
        JsonObject ip = added.Json["ips"]![0]!.AsObject();
        Assert.Equal(version != "1.0.0", ip.ContainsKey("version"));
        Assert.False(added.Json["interfaces"]![1]!.AsObject().ContainsKey("mtu"));
        // The reference plugins refuse a result that is none of the version.
        JsonObject chained = PodNode.ConfigurationOf(version);
        chained["type"] = "tuning";
        chained["prevResult"] = added.Json.DeepClone();
        CommandResult passed = await Command.RunAsync(
            Deadline, chained.ToJsonString(), "env", "CNI_COMMAND=ADD", $"CNI_CONTAINERID={pod.ContainerId}", $"CNI_NETNS={pod.Path}", "CNI_IFNAME=eth0", "CNI_PATH=/usr/lib/cni", "/usr/lib/cni/tuning");
        Assert.True(passed.ExitCode == 0, passed.Transcript);
        JsonNode kept = JsonNode.Parse(passed.Output)!;
        Assert.Equal(version, (string)kept["cniVersion"]!);
        foreach (string list in new[] { "ips", "routes", "interfaces" }) Assert.Equal(Shape(added.Json[list]!), Shape(kept[list]!));
    }

    [Fact]
    public async Task Add_SecondTime_IsRefusedAndTheFirstStays()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();

        CniOutcome again = await A.AddAsync(pod);

        Assert.Equal(101, again.Code);
        Assert.Contains(pod.ContainerId, again.Message, StringComparison.Ordinal);
        PingResult answers = await Ping.RunAsync(A.Node.Host, added.Addresses[0]);
        Assert.True(answers.Received == 1, answers.Transcript);
    }

    [Fact]
    public async Task Add_InterfaceThereAlready_FailsAndLeavesNothing()
    {
        TestPod pod = await A.CreatePodAsync();
        await pod.Space.IpAsync("link add eth0 type veth peer name other0");
        string before = await A.Node.Host.StateAsync();
        string tableBefore = await A.Node.Host.CheckAsync("nft", "list", "set", "inet", "overlay-pods", "sources4");

        CniOutcome refused = await A.AddAsync(pod, "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0");

        Assert.Equal(101, refused.Code);
        Assert.Contains("default/web-0", refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, await A.Node.Host.StateAsync());
        Assert.Equal(tableBefore, await A.Node.Host.CheckAsync("nft", "list", "set", "inet", "overlay-pods", "sources4"));
    }

    [Fact]
    public async Task Add_NoNamespace_SaysThatTheContainerIsGone() =>
        Assert.Equal(3, (await A.CallAsync("ADD", PodNode.ConfigurationOf("1.0.0"), "x", "/run/netns/absent", "eth0")).Code);

    [Fact]
    public async Task Delete_TwiceWithoutNamespaceAndConcurrently_Succeeds()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        string host = (string)added.Json["interfaces"]![0]!["name"]!;

        CniOutcome[] outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => A.DeleteAsync(pod, withNamespace: i % 2 == 0)));

        Assert.All(outcomes, outcome => Assert.Equal((0, ""), (outcome.ExitCode, outcome.Output)));
        Assert.DoesNotContain(host, await A.Node.Host.CheckAsync("ip", "-o", "link"), StringComparison.Ordinal);
        Assert.DoesNotContain(host, await A.Node.Host.CheckAsync("nft", "list", "table", "inet", "overlay-pods"), StringComparison.Ordinal);
        Assert.Empty(await A.Node.Host.CheckAsync("ip", "route", "show", added.Addresses[0]));
        Assert.Equal(0, (await A.CallAsync("DEL", PodNode.ConfigurationOf("1.0.0"), "never-added", "", "eth0")).Code);
    }

    [Fact]
    public async Task Spoof_AddressOfAnotherPod_IsDroppedAndCounted()
    {
        (TestPod honest, CniOutcome victim) = await A.AddPodAsync();
        (TestPod spoofer, _) = await A.AddPodAsync();
        (TestPod target, CniOutcome other) = await B.AddPodAsync();
        await honest.Space.IpAsync("link set eth0 down");
        await spoofer.Space.IpAsync($"address add {victim.Addresses[0]}/32 dev lo", $"address add {victim.Addresses[1]}/128 dev lo");

        PingResult ipv4 = await Ping.RunAsync(spoofer.Space, victim.Addresses[0], other.Addresses[0], 3);
        PingResult ipv6 = await Ping.RunAsync(spoofer.Space, victim.Addresses[1], other.Addresses[1], 3);

        Assert.True(ipv4.Received + ipv6.Received == 0, ipv4.Transcript + ipv6.Transcript);
        string table = await A.Node.Host.CheckAsync("nft", "list", "chain", "inet", "overlay-pods", "prerouting");
        Assert.Matches(@"ip saddr \. iifname != @sources4 counter packets [1-9]", table);
        Assert.Matches(@"ip6 saddr \. iifname != @sources6 counter packets [1-9]", table);
        string end = (string)JsonNode.Parse(await ClientAsync("pods", "--json"))!["pods"]!.AsArray().Single(pod => (string)pod!["containerId"]! == spoofer.ContainerId)!["hostInterface"]!;
        foreach ((string from, string to) in victim.Addresses.Zip(other.Addresses))
        {
            string own = await ClientAsync("explain", "--from", from, "--to", to, "--json");
            CommandResult spoofed = await Command.RunAsync(
                Deadline, null, Repository.Client, "explain", "--from", from, "--to", to, "--by", end, "--json", "--socket", A.Daemon.Socket);
            Assert.Equal("ok", (string)Stage(own)["outcome"]!);
            Assert.Equal((2, "dropped", "pod-filter"), (spoofed.ExitCode, (string)Stage(spoofed.Output)["outcome"]!, (string)JsonNode.Parse(spoofed.Output)!["dropReason"]!));
        }
        Assert.Equal(A.Node.OverlayMtu, (int)JsonNode.Parse(await target.Space.CheckAsync("ip", "-j", "link", "show", "eth0"))![0]!["mtu"]!);
    }

    [Fact]
    public async Task Hairpin_PodToItselfByAnotherAddress_IsAnswered()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync();
        const string service = "198.51.100.7";
        await A.Node.Host.CheckAsync("nft", $"add table ip service; add chain ip service pre {{ type nat hook prerouting priority -100; }}; add chain ip service post {{ type nat hook postrouting priority 90; }}; add rule ip service pre ip daddr {service} dnat to {added.Addresses[0]}; add rule ip service post ip saddr {added.Addresses[0]} ip daddr {added.Addresses[0]} masquerade");
        try
        {
            PingResult answers = await Ping.RunAsync(pod.Space, service, count: 2);
            Assert.True(answers.Received == 2, answers.Transcript);
        }
        finally
        {
            await A.Node.Host.CheckAsync("nft", "delete table ip service");
        }
    }

    [Fact]
    public async Task Masquerade_LeavingTheOverlay_TakesTheNodesAddressAndIsRestoredWhenFlushed()
    {
        (TestPod pod, _) = await A.AddPodAsync();
        Assert.Equal([IPAddress.Parse(A.Node.Underlay4)], await TcpCheck.RunAsync(pod.Space, B.Node.Host, B.Node.Underlay4, 1, 1000));
        Assert.Equal([IPAddress.Parse(A.Node.Underlay6)], await TcpCheck.RunAsync(pod.Space, B.Node.Host, B.Node.Underlay6, 1, 1000));
        string before = await A.Node.Host.CheckAsync("nft", "-s", "list", "table", "inet", "overlay-pods");

        await A.Node.Host.CheckAsync("nft", "flush", "ruleset");

        await Eventually.TrueAsync(
            async () => (await A.Node.Host.RunAsync(Deadline, "nft", "-s", "list", "table", "inet", "overlay-pods")).Output == before, Deadline, "the table is back");
        Assert.Equal([IPAddress.Parse(A.Node.Underlay4)], await TcpCheck.RunAsync(pod.Space, B.Node.Host, B.Node.Underlay4, 1, 1000));
    }

    [Fact]
    public async Task Add_SeveralInterfaces_EachAnswersAndOneGoesAlone()
    {
        (TestPod pod, CniOutcome first) = await A.AddPodAsync();
        CniOutcome second = await A.AddAsync(pod, interfaceName: "net1");
        Assert.Equal(0, second.Code);

        foreach (string address in first.Addresses.Concat(second.Addresses))
        {
            PingResult answers = await Ping.RunAsync(B.Node.Host, address, count: 2);
            Assert.True(answers.Received == 2, answers.Transcript);
        }
        await A.DeleteAsync(pod, "eth0");
        PingResult left = await Ping.RunAsync(B.Node.Host, second.Addresses[0], count: 2);
        Assert.True(left.Received == 2, left.Transcript);
    }

    [Theory]
    [InlineData("args")]
    [InlineData("capability")]
    public async Task Add_RequestedAddresses_AreGivenOrRefused(string way)
    {
        string ipv4 = $"10.244.1.{(way == "args" ? 200 : 201)}";
        string ipv6 = $"fd00:244:1:0:1::{(way == "args" ? "c8" : "c9")}";
        JsonObject configuration = PodNode.ConfigurationOf("1.0.0");
        if (way == "capability") configuration["runtimeConfig"] = new JsonObject { ["ips"] = new JsonArray($"{ipv4}/25", ipv6) };
        string arguments = way == "args" ? $"IgnoreUnknown=1;IP={ipv4},{ipv6}" : "";
        TestPod pod = await A.CreatePodAsync();

        CniOutcome added = await A.AddAsync(pod, arguments, configuration: (JsonObject)configuration.DeepClone());
        Assert.True(added.ExitCode == 0, added.Output);
        Assert.Equal([ipv4, ipv6], added.Addresses);

        CniOutcome taken = await A.AddAsync(await A.CreatePodAsync(), arguments, configuration: configuration);
        Assert.Equal(100, taken.Code);
        Assert.Contains($"{ipv4} is held by overlay/{pod.ContainerId}/eth0", taken.Message, StringComparison.Ordinal);
        CniOutcome foreign = await A.AddAsync(await A.CreatePodAsync(), "IP=192.168.5.5");
        Assert.Equal(100, foreign.Code);
    }

    [Fact]
    public async Task Add_PodThatComesAgain_HasItsAddressesAndMac()
    {
        const string arguments = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=db-0";
        (TestPod before, CniOutcome first) = await A.AddPodAsync(arguments);
        await A.DeleteAsync(before);
        await A.AddPodAsync();

        (_, CniOutcome again) = await A.AddPodAsync(arguments);

        Assert.Equal(first.Addresses, again.Addresses);
        Assert.Equal((string)first.Json["interfaces"]![1]!["mac"]!, (string)again.Json["interfaces"]![1]!["mac"]!);
    }

    [Fact]
    public async Task Add_AfterAnotherPlugin_KeepsItsResult()
    {
        TestPod pod = await A.CreatePodAsync();
        JsonObject configuration = PodNode.ConfigurationOf("1.0.0");
        configuration["prevResult"] = JsonNode.Parse("""
            { "cniVersion": "1.0.0", "interfaces": [{ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/x" }],
              "ips": [{ "address": "127.0.0.1/8", "interface": 0 }], "dns": { "nameservers": ["192.0.2.53"] }, "other": { "kept": 1 } }
            """);

        CniOutcome added = await A.AddAsync(pod, configuration: configuration);

        Assert.Equal(["lo", "eth0"], added.Json["interfaces"]!.AsArray().Where(each => each!["sandbox"] is not null).Select(each => (string)each!["name"]!));
        Assert.Equal([0, 2, 2], added.Json["ips"]!.AsArray().Select(ip => (int)ip!["interface"]!));
        Assert.Equal("192.0.2.53", (string)added.Json["dns"]!["nameservers"]![0]!);
        Assert.Equal(1, (int)added.Json["other"]!["kept"]!);
    }

    [Fact]
    public async Task Gc_AttachmentsThatTheRuntimeHasNot_AreFreedAndOthersStay()
    {
        JsonObject configuration = new() { ["cniVersion"] = "1.1.0", ["name"] = "gc-net", ["type"] = "overlay-cni" };
        TestPod kept = await A.CreatePodAsync();
        TestPod stale = await A.CreatePodAsync();
        CniOutcome keptResult = await A.AddAsync(kept, configuration: (JsonObject)configuration.DeepClone());
        CniOutcome staleResult = await A.AddAsync(stale, configuration: (JsonObject)configuration.DeepClone());
        (_, CniOutcome otherNetwork) = await A.AddPodAsync();

        Assert.Equal(0, (await A.CallAsync("GC", configuration.DeepClone())).Code);
        Assert.True((await Ping.RunAsync(A.Node.Host, staleResult.Addresses[0])).Received == 1, "a runtime that does not say what it has loses nothing");
        JsonObject collecting = (JsonObject)configuration.DeepClone();
        collecting["cni.dev/valid-attachments"] = new JsonArray(new JsonObject { ["containerID"] = kept.ContainerId, ["ifname"] = "eth0" });
        Assert.Equal(0, (await A.CallAsync("GC", collecting)).Code);

        Assert.True((await Ping.RunAsync(A.Node.Host, keptResult.Addresses[0])).Received == 1, "what the runtime has stays");
        Assert.True((await Ping.RunAsync(A.Node.Host, otherNetwork.Addresses[0])).Received == 1, "another network's stay");
        Assert.Contains("No route to host", await A.Node.Host.CheckAsync("sh", "-c", $"ip route get {staleResult.Addresses[0]} 2>&1 || true"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Pods_OfTheNode_AreListedAndShown()
    {
        (TestPod pod, CniOutcome added) = await A.AddPodAsync("K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_UID=1234");

        string list = await ClientAsync("pods");
        Assert.Matches(@"POD +ADDRESSES +NODE +INTERFACE +HOST +OWNER +SINCE", list);
        Assert.Matches($@"shop/cart-0 +{added.Addresses[0]}/32 {added.Addresses[1]}/128 +node-a +eth0 +ovp[0-9a-f]+ +overlay/{pod.ContainerId}/eth0 +20", list);
        foreach (string what in new[] { "shop/cart-0", "cart-0", added.Addresses[0], added.Addresses[1], pod.ContainerId })
        {
            string shown = await ClientAsync("pod", "show", what);
            Assert.Matches(@"pod uid +1234", shown);
            Assert.Matches($"namespace +{pod.Path}", shown);
        }
        CommandResult absent = await Command.RunAsync(Deadline, null, Repository.Client, "pod", "show", "nobody", "--socket", A.Daemon.Socket);
        Assert.Equal((1, "", "overlay: no pod 'nobody'; 'overlay pods' lists them\n"), (absent.ExitCode, absent.Output, absent.Errors));
    }

    private static JsonNode Stage(string explained) => JsonNode.Parse(explained)!["stages"]!.AsArray().Single(stage => (string)stage!["name"]! == "anti-spoofing")!;

    private Task<string> ClientAsync(params string[] words) => Command.CheckAsync(Deadline, null, Repository.Client, [.. words, "--socket", A.Daemon.Socket]);

    /// <summary>The items with their members in order.</summary>
    private static IEnumerable<string> Shape(JsonNode list) =>
        list.AsArray().Select(item => string.Join(',', item!.AsObject().OrderBy(member => member.Key, StringComparer.Ordinal).Select(member => $"{member.Key}={member.Value!.ToJsonString()}")));

    private static JsonObject Checking(JsonNode result)
    {
        JsonObject configuration = PodNode.ConfigurationOf("1.1.0");
        configuration["prevResult"] = result.DeepClone();
        return configuration;
    }
}
