using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Pods;

/// <summary>A TCP port of a node that the reference plugin <c>portmap</c>, chained behind ours, leads to a pod.</summary>
internal sealed class PortMapping : IAsyncDisposable
{
    private const int HostPort = 18080;
    private const int ContainerPort = 8080;

    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly PodNode _node;
    private readonly TestPod _pod;
    private readonly string _configuration;

    private PortMapping(PodNode node, TestPod pod, CniOutcome added)
    {
        _node = node;
        _pod = pod;
        JsonObject configuration = PodNode.ConfigurationOf("1.0.0");
        configuration["type"] = "portmap";
        configuration["runtimeConfig"] = new JsonObject
        {
            ["portMappings"] = new JsonArray(new JsonObject { ["hostPort"] = HostPort, ["containerPort"] = ContainerPort, ["protocol"] = "tcp" }),
        };
        JsonNode result = added.Json.DeepClone();
        result["cniVersion"] = "1.0.0";
        configuration["prevResult"] = result;
        _configuration = configuration.ToJsonString();
    }

    /// <param name="node">Whose port it is.</param>
    /// <param name="pod">Where it leads to.</param>
    /// <param name="added">The result of our ADD for the pod.</param>
    public static async Task<PortMapping> AddAsync(PodNode node, TestPod pod, CniOutcome added)
    {
        var mapping = new PortMapping(node, pod, added);
        await mapping.CallAsync("ADD");
        return mapping;
    }

    /// <summary>Connects to the node's port and has the pod answer.</summary>
    /// <param name="from">Namespace of whoever connects.</param>
    /// <param name="address">Of the node.</param>
    /// <returns>Whom the pod saw.</returns>
    public async Task<IPAddress> ReachAsync(NetworkNamespace from, string address)
    {
        IPAddress destination = IPAddress.Parse(address);
        using Socket listener = await _pod.Space.OpenAsync(() => new Socket(destination.AddressFamily, SocketType.Stream, ProtocolType.Tcp));
        listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        listener.Bind(new IPEndPoint(destination.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, ContainerPort));
        listener.Listen();
        using Socket client = await from.OpenAsync(() => new Socket(destination.AddressFamily, SocketType.Stream, ProtocolType.Tcp));
        using var expired = new CancellationTokenSource(Deadline);
        await client.ConnectAsync(new IPEndPoint(destination, HostPort), expired.Token);
        using Socket server = await listener.AcceptAsync(expired.Token);
        byte[] sent = Encoding.ASCII.GetBytes("an answer");
        await server.SendAsync(sent, expired.Token);
        byte[] received = new byte[sent.Length];
        for (int length = 0; length < received.Length;)
        {
            int count = await client.ReceiveAsync(received.AsMemory(length), expired.Token);
            if (count == 0) throw new InvalidDataException($"the answer ended after {length} bytes");
            length += count;
        }
        Assert.Equal(sent, received);
        return ((IPEndPoint)server.RemoteEndPoint!).Address;
    }

    public async ValueTask DisposeAsync() => await CallAsync("DEL");

    private Task<string> CallAsync(string command) => Command.CheckAsync(
        Deadline, _configuration, "ip",
        [
            "netns", "exec", _node.Node.Host.Name, "env", $"CNI_COMMAND={command}", $"CNI_CONTAINERID={_pod.ContainerId}", $"CNI_NETNS={_pod.Path}", "CNI_IFNAME=eth0",
            "CNI_PATH=/usr/lib/cni", "/usr/lib/cni/portmap",
        ]);
}
