using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Traffic;

/// <summary>Puts IPv4 packets that hold an IPv4 packet on a node's underlay, from any outer source.</summary>
internal sealed class IpInIpInjector : IDisposable
{
    private readonly PacketSocket _socket;
    private readonly byte[] _ethernet;
    private readonly string _destination;

    private IpInIpInjector(PacketSocket socket, byte[] ethernet, string destination)
    {
        _socket = socket;
        _ethernet = ethernet;
        _destination = destination;
    }

    public static async Task<IpInIpInjector> OpenAsync(LabNode from, LabNode to)
    {
        byte[] ethernet = [.. await PacketSocket.AddressesAsync(to, from), 0x08, 0x00];
        return new IpInIpInjector(await PacketSocket.OpenAsync(from.Host, LabNode.UnderlayDevice), ethernet, to.Underlay4);
    }

    public void Send(string source, byte[] inner) => _socket.Send([.. _ethernet, .. PlainBytes.Ipv4(source, _destination, 4, inner)]);

    public void Dispose() => _socket.Dispose();
}
