namespace Overlay.SystemTests.Lab;

/// <summary>
/// A node of the kernel's own, configured as Flannel does it: one device, its MAC known to the peers, static neighbours and forwarding
/// entries, and a route for each peer's pods through the peer's tunnel address.
/// </summary>
internal static class KernelVxlan
{
    private const string Device = "flannel.1";

    public static async Task ConfigureAsync(LabNode node, IReadOnlyCollection<LabNode> peers, TunnelOptions tunnel)
    {
        string checksums = tunnel.KernelChecksums ? "udpcsum" : "noudpcsum";
        string forwarding = tunnel.KernelForwarding switch
        {
            KernelForwarding.PointToPoint => $"nolearning remote {peers.Single().Underlay}",
            KernelForwarding.Learned => "learning",
            _ => "nolearning",
        };
        await node.Host.IpAsync(
            $"link add {Device} address {node.Mac} mtu {node.OverlayMtu} type vxlan id {tunnel.Vni} local {node.Underlay} "
            + $"dev {LabNode.UnderlayDevice} dstport {tunnel.Port} {forwarding} {checksums} {tunnel.KernelWords}",
            $"address add {node.Tunnel4}/32 dev {Device}",
            $"address add {node.Tunnel6}/128 dev {Device}",
            $"link set {Device} up");
        foreach (LabNode peer in peers)
        {
            if (tunnel.KernelForwarding == KernelForwarding.Static)
                await node.Host.CheckAsync("bridge", "fdb", "append", peer.Mac, "dev", Device, "dst", peer.Underlay);
            await node.Host.IpAsync(
                $"neighbour replace {peer.Tunnel4} lladdr {peer.Mac} dev {Device} nud permanent",
                $"neighbour replace {peer.Tunnel6} lladdr {peer.Mac} dev {Device} nud permanent",
                $"route replace {peer.PodPrefix4} via {peer.Tunnel4} dev {Device} onlink",
                $"route replace {peer.PodPrefix6} via {peer.Tunnel6} dev {Device} onlink");
        }
    }
}
