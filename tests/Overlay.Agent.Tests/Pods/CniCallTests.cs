using System.Text;
using System.Text.Json.Nodes;
using Overlay.Agent.Pods;
using Overlay.Agent.Pods.Cni;

namespace Overlay.Agent.Tests.Pods;

/// <summary>Calls as real runtimes make them, and such as none should.</summary>
public sealed class CniCallTests
{
    private const string Configuration = """{"cniVersion":"1.0.0","name":"overlay","type":"overlay-cni"}""";

    private static Attachment Sample => new()
    {
        Network = "overlay",
        ContainerId = "a",
        Interface = "eth0",
        Namespace = "/n",
        NamespaceId = "1:2",
        HostInterface = "ovp1",
        Since = default,
        Boot = "b",
        Addresses = [new AttachedAddress("10.244.1.5/32", "169.254.77.1")],
        Mac = "02:00:00:00:00:05",
        Mtu = 1450,
    };

    [Fact]
    public void Read_CriAdd_HasPodAndContainer()
    {
        CniCall call = Read(
            Configuration, "CNI_COMMAND=ADD", "CNI_CONTAINERID=abc", "CNI_NETNS=/var/run/netns/cni-1", "CNI_IFNAME=eth0",
            "CNI_ARGS=K8S_POD_UID=u;IgnoreUnknown=1;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_NAMESPACE=default");

        Assert.Equal((CniCommand.Add, "abc", "/var/run/netns/cni-1", "eth0"), (call.Command, call.ContainerId, call.Namespace, call.Interface));
        Assert.Equal(("default", "web-0", "u"), (call.PodNamespace, call.PodName, call.PodUid));
        Assert.Equal("pod default/web-0 (container abc, eth0)", call.Pod);
    }

    [Fact]
    public void Read_RuntimeConfigInPascalCase_IsRead()
    {
        CniConfiguration read = CniConfiguration.Read(Encoding.UTF8.GetBytes("""
            {"cniVersion":"0.4.0","name":"overlay","runtimeConfig":{"dns":{"Servers":["10.0.0.10"],"Searches":["svc"],"Options":["ndots:5"]},
            "Ips":["10.244.1.5/24","fd00::5"],"MAC":"02:00:00:00:00:09","portMappings":[{"HostPort":80}],"cgroupPath":"/x"}}
            """), CniCommand.Add);

        Assert.Equal(["10.244.1.5", "fd00::5"], read.Addresses.Select(address => address.ToString()));
        Assert.Equal("02:00:00:00:00:09", read.Mac.ToString());
        Assert.Equal("""{"nameservers":["10.0.0.10"],"search":["svc"],"options":["ndots:5"]}""", read.Dns!.ToJsonString());
    }

    [Theory]
    [InlineData(4, "CNI_COMMAND", "CNI_IFNAME=eth0")]
    [InlineData(4, "NOP", "CNI_COMMAND=NOP")]
    [InlineData(4, "CNI_CONTAINERID", "CNI_COMMAND=DEL", "CNI_IFNAME=eth0")]
    [InlineData(4, "../x", "CNI_COMMAND=DEL", "CNI_IFNAME=eth0", "CNI_CONTAINERID=../x")]
    [InlineData(4, "CNI_NETNS", "CNI_COMMAND=ADD", "CNI_IFNAME=eth0", "CNI_CONTAINERID=a")]
    [InlineData(4, "netns/a", "CNI_COMMAND=ADD", "CNI_IFNAME=eth0", "CNI_CONTAINERID=a", "CNI_NETNS=netns/a")]
    [InlineData(4, "a/b", "CNI_COMMAND=DEL", "CNI_IFNAME=a/b", "CNI_CONTAINERID=a")]
    [InlineData(4, "sixteen-letters!", "CNI_COMMAND=DEL", "CNI_IFNAME=sixteen-letters!", "CNI_CONTAINERID=a")]
    [InlineData(4, "eth%d", "CNI_COMMAND=DEL", "CNI_IFNAME=eth%d", "CNI_CONTAINERID=a")]
    [InlineData(4, "novalue", "CNI_COMMAND=ADD", "CNI_IFNAME=eth0", "CNI_CONTAINERID=a", "CNI_NETNS=/n", "CNI_ARGS=novalue")]
    [InlineData(4, "COLOUR", "CNI_COMMAND=ADD", "CNI_IFNAME=eth0", "CNI_CONTAINERID=a", "CNI_NETNS=/n", "CNI_ARGS=K8S_POD_NAME=x;COLOUR=red")]
    [InlineData(4, "COLOUR", "CNI_COMMAND=ADD", "CNI_IFNAME=eth0", "CNI_CONTAINERID=a", "CNI_NETNS=/n", "CNI_ARGS=IgnoreUnknown=false;COLOUR=red")]
    [InlineData(4, "maybe", "CNI_COMMAND=ADD", "CNI_IFNAME=eth0", "CNI_CONTAINERID=a", "CNI_NETNS=/n", "CNI_ARGS=IgnoreUnknown=maybe")]
    [InlineData(1, "STATUS", "CNI_COMMAND=STATUS")]
    [InlineData(1, "GC", "CNI_COMMAND=GC")]
    public void Read_EnvironmentThatCannotBe_IsRefusedWithItsCode(int code, string named, params string[] variables)
    {
        CniException refused = Assert.Throws<CniException>(() => Read(Configuration, variables));

        Assert.Equal(code, (int)refused.Code);
        Assert.Contains(named, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"cniVersion":"1.0.0","name":"overlay","ipam":{"type":"host-local"}}""", "eth0", 2)]
    [InlineData("""{"cniVersion":"9.0.0","name":"overlay"}""", "eth0", 1)]
    [InlineData("""{"cniVersion":"1.0.0"}""", "eth0", 7)]
    [InlineData("""{"cniVersion":"1.0.0","name":""", "eth0", 6)]
    [InlineData(Configuration, "a/b", 4)]
    public void Read_CallThatCannotBe_NamesThePodWithTheCause(string configuration, string device, int code)
    {
        CniException refused = Assert.Throws<CniException>(() => Read(
            configuration, "CNI_COMMAND=ADD", "CNI_CONTAINERID=abc", "CNI_NETNS=/n", $"CNI_IFNAME={device}", "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=web-0; K8S_POD_NAMESPACE=default"));

        Assert.Equal(code, (int)refused.Code);
        Assert.StartsWith($"pod default/web-0 (container abc, {device}): ", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_UnknownArgumentsThatAreToBeIgnored_AreKept() =>
        Assert.Equal("red", Read(Configuration, "CNI_COMMAND=ADD", "CNI_IFNAME=eth0", "CNI_CONTAINERID=a", "CNI_NETNS=/n", "CNI_ARGS=COLOUR=red;IgnoreUnknown=true").Arguments["COLOUR"]);

    [Theory]
    [InlineData("""{"cniVersion":"1.0.0","name":"overlay","ipam":{"type":"host-local"}}""")]
    [InlineData("""{"cniVersion":"1.0.0","name":"overlay","runtimeConfig":{"ips":["host"],"mac":"x"}}""")]
    [InlineData("""{"cniVersion":"1.0.0","name":"overlay","prevResult":[],"cni.dev/valid-attachments":7}""")]
    public void Read_DeletionOfWhatAddIsRefusedFor_IsRead(string configuration)
    {
        string[] variables = ["CNI_CONTAINERID=a", "CNI_NETNS=/n", "CNI_IFNAME=eth0", "CNI_ARGS=novalue;COLOUR=red;IgnoreUnknown=maybe"];

        Assert.Throws<CniException>(() => Read(configuration, ["CNI_COMMAND=ADD", .. variables]));
        Assert.Equal(("overlay", "a", "eth0"), Read(configuration, ["CNI_COMMAND=DEL", .. variables]) is var call ? (call.Configuration.Name, call.ContainerId, call.Interface) : default);
    }

    [Theory]
    [InlineData(6, "")]
    [InlineData(6, "[]")]
    [InlineData(6, "{\"name\":")]
    [InlineData(6, """{"cniVersion":"1.0.0","name":"a","prevResult":{"ips":[],"ips":[]}}""")]
    [InlineData(6, """{"cniVersion":"1.0.0","name":"a","prevResult":{"\ud800":1}}""")]
    [InlineData(6, """{"cniVersion":"1.0.0","name":"a","dns":{"x":"\ud800"}}""")]
    [InlineData(1, """{"name":"overlay"}""")]
    [InlineData(1, """{"cniVersion":"0.2.0","name":"overlay"}""")]
    [InlineData(1, """{"cniVersion":"2.0.0","name":"overlay"}""")]
    [InlineData(7, """{"cniVersion":"1.0.0"}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":7}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":"a/b"}""")]
    [InlineData(2, """{"cniVersion":"1.0.0","name":"a","ipam":{"type":"host-local"}}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":"a","runtimeConfig":{"ips":"10.0.0.1"}}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":"a","prevResult":[]}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":"a","runtimeConfig":{"ips":["host"]}}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":"a","runtimeConfig":{"ips":["10.1"]}}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":"a","runtimeConfig":{"ips":["10.0.0.1/33"]}}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":"a","runtimeConfig":{"ips":["10.0.0.1/x"]}}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":"a","runtimeConfig":{"ips":["fe80::1%lo"]}}""")]
    [InlineData(7, """{"cniVersion":"1.0.0","name":"a","runtimeConfig":{"mac":"01:00:00:00:00:00"}}""")]
    [InlineData(7, """{"cniVersion":"1.1.0","name":"a","cni.dev/valid-attachments":[{"containerID":"x"}]}""")]
    public void Read_ConfigurationThatCannotBe_IsRefusedWithItsCode(int code, string configuration)
    {
        CniException refused = Assert.Throws<CniException>(() => CniConfiguration.Read(Encoding.UTF8.GetBytes(configuration), CniCommand.Add));

        Assert.Equal(code, (int)refused.Code);
        Assert.NotEmpty(refused.Message);
    }

    [Theory]
    [InlineData("0.4.0", "0.4.0")]
    [InlineData("7.0.0", "1.1.0")]
    public void VersionOf_Refused_IsTheConfigurationsWhereItIsSpoken(string given, string answered) =>
        Assert.Equal(answered, CniConfiguration.VersionOf(Encoding.UTF8.GetBytes($$"""{"cniVersion":"{{given}}"}""")));

    [Fact]
    public void Read_ValidAttachments_AbsentIsNotEmpty()
    {
        Assert.Null(CniConfiguration.Read("""{"cniVersion":"1.1.0","name":"a"}"""u8.ToArray(), CniCommand.Gc).ValidAttachments);
        Assert.Empty(CniConfiguration.Read("""{"cniVersion":"1.1.0","name":"a","cni.dev/valid-attachments":null}"""u8.ToArray(), CniCommand.Gc).ValidAttachments!);
    }

    [Fact]
    public void Read_AnyBytes_GivesACallOrARefusal()
    {
        int seed = Environment.TickCount;
        var random = new Random(seed);
        byte[] sound = Encoding.UTF8.GetBytes("""{"cniVersion":"1.1.0","name":"a","prevResult":{"ips":[]},"runtimeConfig":{"ips":["10.0.0.1"],"dns":{"servers":["x"]}},"cni.dev/valid-attachments":[{"containerID":"x","ifname":"y"}]}""");
        byte[] environment = Encoding.UTF8.GetBytes("CNI_COMMAND=ADD\0CNI_CONTAINERID=a\0CNI_NETNS=/n\0CNI_IFNAME=eth0\0CNI_ARGS=IP=10.0.0.1;K8S_POD_NAME=x\0");
        for (int i = 0; i < 20_000; i++)
        {
            byte[] message = [.. Lengths(environment.Length, sound.Length), .. environment, .. sound];
            for (int change = random.Next(1, 6); change > 0; change--) message[random.Next(message.Length)] = (byte)random.Next(256);
            try
            {
                if (CniMessage.Read(message) is { } read) CniCall.Read(read);
            }
            catch (CniException refused)
            {
                Assert.True(refused.Message.Length > 0, $"seed {seed}, input {i}");
            }
        }
    }

    [Fact]
    public void Expected_ResultThatALaterPluginChanged_IsWhatItSays()
    {
        var result = (JsonObject)JsonNode.Parse("""
            {"interfaces":[{"name":"ovp1","mac":"02:00:00:00:00:01"},{"name":"eth0","mac":"02:00:00:00:00:77","sandbox":"/n"}],"routes":[{"dst":"::/0"},7],"ips":{} }
            """)!;

        ExpectedAttachment expected = CniResult.Expected(Sample, result);

        Assert.Equal("02:00:00:00:00:77", expected.Mac);
        Assert.Equal(["::/0"], expected.Routes);
        Assert.Empty(CniResult.Addresses(result));
        Assert.Equal(Sample.Mac, CniResult.Expected(Sample, []).Mac);
    }

    [Theory]
    [InlineData("0.3.1", true, false)]
    [InlineData("1.0.0", false, false)]
    [InlineData("1.1.0", false, true)]
    public void Of_EachVersion_HasItsMembers(string version, bool hasIpVersion, bool hasMtu)
    {
        JsonObject result = CniResult.Of(Sample, "02:00:00:00:00:01", new CniConfiguration { Version = version, Name = "overlay" });

        Assert.Equal(hasIpVersion, result["ips"]![0]!.AsObject().ContainsKey("version"));
        Assert.Equal(hasMtu, result["interfaces"]![0]!.AsObject().ContainsKey("mtu"));
        Assert.Equal("/n", (string)result["interfaces"]![1]!["sandbox"]!);
        Assert.Equal(1, (int)result["ips"]![0]!["interface"]!);
    }

    private static CniCall Read(string configuration, params string[] variables)
    {
        byte[] environment = Encoding.UTF8.GetBytes(string.Concat(variables.Select(variable => variable + '\0')));
        byte[] input = Encoding.UTF8.GetBytes(configuration);
        return CniCall.Read(CniMessage.Read([.. Lengths(environment.Length, input.Length), .. environment, .. input])!);
    }

    private static byte[] Lengths(int environment, int input) =>
        [0, 0, (byte)(environment >> 8), (byte)environment, 0, 0, (byte)(input >> 8), (byte)input];
}
