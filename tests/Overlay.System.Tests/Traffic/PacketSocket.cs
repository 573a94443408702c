using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Overlay.SystemTests.Traffic;

/// <summary>Puts whole Ethernet frames on an interface, whatever they hold (packet(7)).</summary>
internal sealed class PacketSocket : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.Packet, SocketType.Raw, 0);

    /// <summary>Opens in the caller's namespace.</summary>
    /// <param name="interfaceIndex">Of the interface to send on.</param>
    public PacketSocket(int interfaceIndex) => _socket.Bind(new LinkLayerEndPoint(interfaceIndex));

    public void Send(byte[] frame) => _socket.Send(frame);

    public void Dispose() => _socket.Dispose();

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
