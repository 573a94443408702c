using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Overlay.SystemTests.Lab;

namespace Overlay.SystemTests.Traffic;

/// <summary>Puts whole Ethernet frames on an interface, whatever they hold (packet(7)).</summary>
internal sealed class PacketSocket : IDisposable
{
    private const int PacketLevel = 263;
    private const int VnetHeaderOption = 15;

    private readonly Socket _socket = new(AddressFamily.Packet, SocketType.Raw, 0);

    private PacketSocket(int interfaceIndex, bool offloads)
    {
        if (offloads) _socket.SetRawSocketOption(PacketLevel, VnetHeaderOption, BitConverter.GetBytes(1));
        _socket.Bind(new LinkLayerEndPoint(interfaceIndex));
    }

    /// <summary>Opens on an interface of a namespace.</summary>
    /// <param name="offloads">Whether a virtio-net header of 10 bytes is in front of each frame (PACKET_VNET_HDR).</param>
    public static async Task<PacketSocket> OpenAsync(NetworkNamespace inside, string device, bool offloads = false)
    {
        int index = int.Parse(await inside.CheckAsync("cat", $"/sys/class/net/{device}/ifindex"), CultureInfo.InvariantCulture);
        return await inside.OpenAsync(() => new PacketSocket(index, offloads));
    }

    /// <summary>Destination and source of a frame on the underlay.</summary>
    public static async Task<byte[]> AddressesAsync(LabNode to, LabNode from) => [.. await MacAsync(to), .. await MacAsync(from)];

    public void Send(byte[] frame) => _socket.Send(frame);

    public void Dispose() => _socket.Dispose();

    private static async Task<byte[]> MacAsync(LabNode node) =>
        PlainBytes.Mac((await node.Host.CheckAsync("cat", $"/sys/class/net/{LabNode.UnderlayDevice}/address")).Trim());

    /// <summary>struct sockaddr_ll without protocol, so that nothing is received.</summary>
    private sealed class LinkLayerEndPoint(int interfaceIndex) : EndPoint
    {
        private const int Size = 20;
        private const int IndexOffset = 4;

        public override AddressFamily AddressFamily => AddressFamily.Packet;

        public override SocketAddress Serialize()
        {
            var address = new SocketAddress(AddressFamily.Packet, Size);
            Span<byte> index = stackalloc byte[sizeof(int)];
            BinaryPrimitives.WriteInt32LittleEndian(index, interfaceIndex);
            for (int i = 0; i < index.Length; i++) address[IndexOffset + i] = index[i];
            return address;
        }
    }
}
