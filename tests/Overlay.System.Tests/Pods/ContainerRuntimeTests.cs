using System.Net;
using System.Net.Sockets;
using System.Text;
using Overlay.SystemTests.Lab;
using Overlay.SystemTests.Traffic;

namespace Overlay.SystemTests.Pods;

/// <summary>Pods made by Debian's container runtimes, from an image of busybox.</summary>
public sealed class ContainerRuntimeTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData("vxlan")]
    [InlineData("geneve")]
    [InlineData("ipip")]
    public async Task Containerd_PodsOfTwoNodes_TalkTcpAndUdpAndLeaveNothing(string encapsulation)
    {
        await using PodLab lab = await CreateLabAsync(encapsulation);
        // The chain of reference plugins before and after ours.
        await using Containerd a = await Containerd.StartAsync(lab.A.Node.Host, Conflist(lab.A, """{"type":"loopback"},"""));
        await using Containerd b = await Containerd.StartAsync(lab.B.Node.Host, Conflist(lab.B, ""));
        NetworkNamespace podA = await a.RunAsync("pod-a");
        NetworkNamespace podB = await b.RunAsync("pod-b");

        await AssertTalkAsync(podA, podB);
        Assert.Contains("tbf", await lab.A.Node.Host.CheckAsync("tc", "qdisc"), StringComparison.Ordinal);

        await a.StopAsync("pod-a");
        await b.StopAsync("pod-b");
        await lab.A.AssertNothingLeftAsync();
        await lab.B.AssertNothingLeftAsync();
    }

    [Theory]
    [InlineData("vxlan")]
    [InlineData("geneve")]
    [InlineData("ipip")]
    public async Task Podman_PodsOfTwoNodes_TalkTcpAndUdpAndLeaveNothing(string encapsulation)
    {
        await using PodLab lab = await CreateLabAsync(encapsulation);
        await using Podman a = await Podman.CreateAsync(lab.A.Node.Host, PortsAndFirewall(lab.A));
        await using Podman b = await Podman.CreateAsync(lab.B.Node.Host, PortsAndFirewall(lab.B));
        NetworkNamespace podA = await a.RunAsync("p1", "--ip", "10.244.1.222", "-p", "8080:80");
        NetworkNamespace podB = await b.RunAsync("p2");

        Assert.Equal("10.244.1.222", await AddressAsync(podA, "-4"));
        await AssertTalkAsync(podA, podB);
        // To the pod by its own address, and by the node's with the mapped port.
        Assert.Equal("hello", await ReadAsync(podB, "10.244.1.222", 80));
        Assert.Equal("hello", await ReadAsync(lab.B.Node.Host, lab.A.Node.Underlay4, 8080));

        await a.StopAsync("p1");
        await b.StopAsync("p2");
        await lab.A.AssertNothingLeftAsync();
        await lab.B.AssertNothingLeftAsync();
    }

    private static Task<PodLab> CreateLabAsync(string encapsulation) => PodLab.CreateAsync(
        new TunnelOptions { Encapsulation = encapsulation, Port = encapsulation == "geneve" ? 6081 : 4789 }, new LabOptions { TunnelPrefix = encapsulation == "ipip" ? -8 : 22 });

    private static async Task AssertTalkAsync(NetworkNamespace podA, NetworkNamespace podB)
    {
        foreach (string family in new[] { "-4", "-6" })
        {
            string addressA = await AddressAsync(podA, family);
            string addressB = await AddressAsync(podB, family);
            Assert.Equal([IPAddress.Parse(addressA)], await TcpCheck.RunAsync(podA, podB, addressB, 1, 1 << 20));
            Assert.Equal([IPAddress.Parse(addressB)], await TcpCheck.RunAsync(podB, podA, addressA, 1, 1 << 20));
            Assert.Equal(addressA, await SendDatagramAsync(podA, podB, addressB));
        }
    }

    private static string PortsAndFirewall(PodNode node) =>
        $$"""{"cniVersion":"1.0.0","name":"overlay","plugins":[{{Own(node)}},{"type":"portmap","capabilities":{"portMappings":true} },{"type":"firewall"}]}""";

    private static string Own(PodNode node) =>
        $$"""{"type":"overlay-cni","capabilities":{"ips":true,"mac":true},"socket":"{{node.Socket}}","pending":"{{node.State}}/pending"}""";

    private static string Conflist(PodNode node, string before) => $$"""
        {"cniVersion":"1.0.0","name":"overlay","plugins":[{{before}}{{Own(node)}},{"type":"portmap","capabilities":{"portMappings":true} },
        {"type":"bandwidth","ingressRate":1000000000,"ingressBurst":100000000},{"type":"firewall"}]}
        """;

    private static async Task<string> AddressAsync(NetworkNamespace pod, string family)
    {
        string shown = await pod.CheckAsync("ip", family, "-o", "address", "show", "dev", "eth0", "scope", "global");
        return shown.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3].Split('/')[0];
    }

    /// <returns>Whom the receiver saw as the sender.</returns>
    private static async Task<string> SendDatagramAsync(NetworkNamespace from, NetworkNamespace to, string address)
    {
        IPAddress destination = IPAddress.Parse(address);
        using Socket receiver = await to.OpenAsync(() => new Socket(destination.AddressFamily, SocketType.Dgram, ProtocolType.Udp));
        receiver.Bind(new IPEndPoint(destination, 0));
        using Socket sender = await from.OpenAsync(() => new Socket(destination.AddressFamily, SocketType.Dgram, ProtocolType.Udp));
        byte[] sent = Encoding.ASCII.GetBytes("a datagram");
        await sender.SendToAsync(sent, receiver.LocalEndPoint!);
        byte[] received = new byte[100];
        using var expired = new CancellationTokenSource(Deadline);
        var any = new IPEndPoint(destination.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);
        SocketReceiveFromResult result = await receiver.ReceiveFromAsync(received, any, expired.Token);
        Assert.Equal(sent, received[..result.ReceivedBytes]);
        return ((IPEndPoint)result.RemoteEndPoint).Address.ToString();
    }

    private static async Task<string> ReadAsync(NetworkNamespace from, string address, int port)
    {
        string text = "";
        await Eventually.TrueAsync(
            async () =>
            {
                using Socket attempt = await from.OpenAsync(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
                using var expired = new CancellationTokenSource(TimeSpan.FromSeconds(5));
                try
                {
                    await attempt.ConnectAsync(IPAddress.Parse(address), port, expired.Token);
                }
                catch (SocketException)
                {
                    // The server takes one connection at a time, and is between two.
                    return false;
                }
                byte[] buffer = new byte[100];
                text = Encoding.ASCII.GetString(buffer, 0, await attempt.ReceiveAsync(buffer, expired.Token)).Trim();
                return text.Length > 0;
            },
            Deadline,
            $"{address}:{port} answers");
        return text;
    }
}
