using Overlay.Agent.Configuration;

namespace Overlay.Agent.Tests.Configuration;

/// <summary>A good configuration of every section, one key a line, to be spoilt by tests.</summary>
internal static class SampleConfiguration
{
    public const string Text = """
        node: node-a
        api:
          socket: /run/overlay/overlayd.sock
        underlay:
          interface: eth0
          addresses: [192.0.2.1, "2001:db8::1"]
          port: 4789
          ttl: 64
          trafficClass: 0
          queues: 1
        tunnel:
          encapsulation: vxlan
          egress: auto

        segments:
          - name: pods
            vni: 42
            device: overlay0
            mac: 02:00:00:00:00:01
            mtu: 1430
            persistent: false
            addresses: [10.244.1.0/32, "fd00:244:1::/128"]
          - name: lab
            vni: 43
            device: overlay1
        peers:
          - name: node-b
            address: 192.0.2.2
            port: 4790
            mac: 02:00:00:00:00:02
          - name: node-c
            address: "2001:db8::3"
            mac: 02:00:00:00:00:03
        routes:
          - prefix: 10.244.2.0/24
            peer: node-b
            segment: pods
          - prefix: fd00:244:3::/64
            peer: node-c
            segment: lab

        """;

    public static OverlaydOptions Read(string text = Text)
    {
        var problems = new ConfigurationProblems("overlay.yaml");
        OverlaydOptions? options = ConfigurationReader.Parse(text, problems);
        Assert.Empty(problems.Lines);
        return options!;
    }

    /// <summary>The sample with one text replaced, which must be there exactly once.</summary>
    public static string With(string find, string replacement)
    {
        Assert.Equal(2, Text.Split(find).Length);
        return Text.Replace(find, replacement, StringComparison.Ordinal);
    }

    /// <summary>Every line of what is refused.</summary>
    public static string[] Refusals(string text)
    {
        var problems = new ConfigurationProblems("overlay.yaml");
        Assert.Null(ConfigurationReader.Parse(text, problems));
        return [.. problems.Lines];
    }
}
