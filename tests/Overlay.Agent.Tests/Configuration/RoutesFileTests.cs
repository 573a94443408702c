using Overlay.Agent.Configuration;
using Overlay.Control.Model;
using Overlay.Testing;

namespace Overlay.Agent.Tests.Configuration;

public sealed class RoutesFileTests
{
    private const string TwoSegments = """
        node: n
        underlay: { interface: eth0 }
        segments:
          - { name: s, vni: 1, device: d, direct: cross-subnet, addresses: [10.9.0.0/32] }
          - { name: t, vni: 2, device: e }
        peers:
          - { name: node-b, address: 192.0.2.2, mac: "02:00:00:00:00:02" }
          - { name: node-c, address: 192.0.2.3, mac: "02:00:00:00:00:03" }

        """;

    [Fact]
    public void Parse_EverythingALineCanSay_IsRead()
    {
        RouteState[] routes = [.. Read("""
            # a comment
            10.1.0.0/16 via node-b segment s

            10.2.0.0/16	via node-c*3,node-b segment t priority 7 metric 9 # another
            fd00::/64 prohibit segment t
            10.3.0.0/16 via node-b segment s direct host-gw
            """)];

        Assert.Equal(
            ["10.1.0.0/16 to node-b in s", "10.3.0.0/16 to node-b in s", "10.2.0.0/16 to node-b, node-c x3 in t", "fd00::/64 to prohibit in t"],
            routes.Select(route => route.ToString()));
        Assert.Equal([2, 6, 4, 5], routes.Select(route => route.Line));
        Assert.All(routes, route => Assert.Equal(RouteSource.File, route.Source));
        Assert.Equal((20, 0u, DirectMode.CrossSubnet), (routes[0].Priority, routes[0].Metric, routes[0].Target.Direct));
        Assert.Equal((7, 9u, DirectMode.Never), (routes[2].Priority, routes[2].Metric, routes[2].Target.Direct));
        Assert.Equal(DirectMode.HostGateway, routes[1].Target.Direct);
    }

    [Theory]
    [InlineData("10.1.0.0/16", "route 10.1.0.0/16 says nothing; write 'via' and a peer, or local")]
    [InlineData("10.1.0.0/16 node-b segment s", "'node-b' is not known; write local or blackhole or unreachable or prohibit, or 'via' and a peer")]
    [InlineData("10.1.0.0/16 via", "route 10.1.0.0/16 says nothing")]
    [InlineData("10.1.0.0/16 via node-d segment s", "route 10.1.0.0/16 names the peer 'node-d', which is not listed; did you mean 'node-b'?")]
    [InlineData("10.1.0.0/16 via node-b,node-b segment s", "peer 'node-b' is in the peers of route 10.1.0.0/16 twice; write node-b*2")]
    [InlineData("10.1.0.0/16 via node-b*0 segment s", "'0' is no whole number from 1 to 256")]
    [InlineData("10.1.0.0/16 via node-b*1*2 segment s", "'node-b*1*2' has two weights; write node-b*2")]
    [InlineData("10.1.0.0/16 via node-b", "route 10.1.0.0/16 names no segment; write 'segment' and the name of one")]
    [InlineData("10.1.0.0/16 via node-b segment u", "names the segment 'u', which is not listed; did you mean")]
    [InlineData("10.1.0.0/16 via node-b segment", "'' is no name")]
    [InlineData("10.1.0.0/16 via node-b segment s metrik 3", "'metrik' is not known; write pairs of segment, priority, metric or direct")]
    [InlineData("10.1.0.0/16 via node-b segment s priority 0", "'0' is no whole number from 1 to 255")]
    [InlineData("10.1.0.0/16 via node-b,node-c segment s direct host-gw", "direct of route 10.1.0.0/16 is for routes to one peer")]
    [InlineData("10.1.0.1/16 via node-b segment s", "the prefix '10.1.0.1/16' has host bits set; write 10.1.0.0/16")]
    [InlineData("10.1.0.0/33 via node-b segment s", "'10.1.0.0/33' has no prefix length from 0 to 32")]
    [InlineData("010.1.0.0/16 via node-b segment s", "'010.1.0.0/16' is no prefix")]
    [InlineData("224.0.0.0/8 via node-b segment s", "the prefix '224.0.0.0/8' is multicast")]
    [InlineData("fd00::1/64 via node-b segment s", "the prefix 'fd00::1/64' has host bits set; write fd00::/64")]
    public void Parse_BadLine_IsRefusedWithLineAndRemedy(string line, string expected)
    {
        var problems = new ConfigurationProblems("overlay.yaml");

        RoutesFileReader.Parse(SampleConfiguration.Read(TwoSegments), $"10.5.0.0/16 via node-b segment s\n{line}\n", problems.In("/routes"));

        string refusal = Assert.Single(problems.Lines);
        Assert.StartsWith("/routes:2: ", refusal, StringComparison.Ordinal);
        Assert.Contains(expected, refusal, StringComparison.Ordinal);
        Assert.Contains("; ", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public void Parse_ManyBadLines_SaysTheFirstAndHowManyMore()
    {
        var problems = new ConfigurationProblems("overlay.yaml");

        RoutesFileReader.Parse(SampleConfiguration.Read(TwoSegments), string.Concat(Enumerable.Repeat("x via node-b segment s\n", 1000)), problems.In("/routes"));

        Assert.Equal(21, problems.Lines.Count());
        Assert.Equal("/routes: 980 more problems; correct these first", problems.Lines.Last());
    }

    [Fact]
    public void Parse_PrefixTwice_IsRefusedUnlessTheyDiffer()
    {
        var problems = new ConfigurationProblems("overlay.yaml");

        RoutesFileReader.Parse(
            SampleConfiguration.Read(TwoSegments), "10.1.0.0/16 via node-b segment s\n10.1.0.0/16 via node-c segment s\n10.1.0.0/16 local segment s metric 1\n",
            problems.In("/routes"));

        Assert.Equal(
            ["/routes:2: route 10.1.0.0/16 was listed in line 1 already; keep one of them, or give them different priorities or metrics"], problems.Lines);
    }

    [Fact]
    public void Load_ConfigurationWithAFile_HasTheRoutesOfBoth()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("overlay-routes-");
        try
        {
            string file = Path.Combine(folder.FullName, "routes");
            File.WriteAllText(file, "10.1.0.0/16 via node-b segment s\n10.2.0.0/16 via node-c segment s\n");
            string text = TwoSegments + $"routesFile: {file}\nroutes: [ {{ prefix: 10.2.0.0/16, peer: node-b, segment: s }} ]\n";

            RouteSet routes = SampleConfiguration.Read(text).AllRoutes;

            Assert.Equal([RouteSource.File, RouteSource.Configured, RouteSource.File], routes.Select(route => route.Source));
            Assert.Equal([false, false, true], Enumerable.Range(0, 3).Select(routes.IsBeaten));

            File.WriteAllText(file, "10.9.0.0/32 via node-b segment s\n10.2.0.0/16 via node-b segment t\n");
            Assert.Equal(
                [
                    $"{file}:1: route 10.9.0.0/32 is the network of this node's own address 10.9.0.0/32; route only what lives behind the peer",
                    $"{file}:2: route 10.2.0.0/16 of segment 't' is one of segment 's' too; keep one of them: the kernel has one table for all",
                ], SampleConfiguration.Refusals(text));
            File.Delete(file);
            Assert.StartsWith($"{file}: cannot be read: ", Assert.Single(SampleConfiguration.Refusals(text)), StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public void Parse_DamagedText_NeverThrows() => Seeded.Check(500, random =>
    {
        const string inserted = "./:,* #\tviaxsegmnt0123456789";
        char[] text = "10.1.0.0/16 via node-b,node-c*2 segment s metric 3\nfd00::/64 local segment t\n".ToCharArray();
        for (int i = random.Next(1, 6); i > 0; i--) text[random.Next(text.Length)] = inserted[random.Next(inserted.Length)];
        var problems = new ConfigurationProblems("overlay.yaml");

        RouteSet routes = RoutesFileReader.Parse(SampleConfiguration.Read(TwoSegments), new string(text), problems);

        Assert.True(routes.Count <= 3);
    });

    private static RouteSet Read(string text)
    {
        var problems = new ConfigurationProblems("/routes");
        RouteSet routes = RoutesFileReader.Parse(SampleConfiguration.Read(TwoSegments), text, problems);
        Assert.Empty(problems.Lines);
        return routes;
    }
}
