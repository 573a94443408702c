using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Offload;
using Overlay.Linux.Interop;
using Overlay.Linux.Netlink;
using Overlay.Linux.Tap;
using Overlay.Linux.Tests.Support;

namespace Overlay.Linux.Tests;

public sealed class TapDeviceTests : IDisposable
{
    private static readonly bool KernelHasUso = Environment.OSVersion.Version >= new Version(6, 2);

    private readonly NetworkNamespace _space = new();

    public void Dispose() => _space.Dispose();

    [Fact]
    public void Open_NewDevice_HasTheOffloadsOfTheKernel()
    {
        using TapDevice device = Open(new TapOptions { Name = "tap0" });
        if (KernelHasUso)
        {
            Assert.Equal(TapOffloads.All, device.Offloads);
            Assert.Empty(device.Refusals);
        }
        else
        {
            Assert.Equal(TapOffloads.All & ~(TapOffloads.Uso4 | TapOffloads.Uso6), device.Offloads);
            Assert.Contains("USO", Assert.Single(device.Refusals), StringComparison.Ordinal);
        }
        Assert.Single(device.Queues);
        var shown = _space.IpJson("link show dev tap0")[0];
        Assert.Equal(device.InterfaceIndex, shown.GetProperty("ifindex").GetInt32());
        var data = shown.GetProperty("linkinfo").GetProperty("info_data");
        Assert.Equal("tap", data.GetProperty("type").GetString());
        Assert.True(data.GetProperty("vnet_hdr").GetBoolean());
        Assert.False(data.GetProperty("pi").GetBoolean());
        Assert.False(data.GetProperty("persist").GetBoolean());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Open_NotPersistent_VanishesWithDispose(int queues)
    {
        TapDevice device = Open(new TapOptions { Name = "tap0", Queues = queues });
        Assert.Equal(queues, device.Queues.Count);
        Assert.Equal(queues, device.Queues.Select(queue => queue.FileDescriptor).Distinct().Count());
        device.Dispose();
        Assert.Equal(["lo"], LinkNames());
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(2, 1)]
    public void Open_PersistentDevice_IsAttachedToAgain(int queues, int queuesLater)
    {
        int index;
        using (TapDevice device = Open(new TapOptions { Name = "tap0", Queues = queues, Persistent = true })) index = device.InterfaceIndex;
        Assert.Equal(["lo", "tap0"], LinkNames());
        using (TapDevice device = Open(new TapOptions { Name = "tap0", Queues = queuesLater })) Assert.Equal(index, device.InterfaceIndex);
        Assert.Equal(["lo"], LinkNames());
    }

    [Fact]
    public void Open_PersistentDeviceOfOneQueue_RefusesTwoWithRemedy()
    {
        Open(new TapOptions { Name = "tap0", Persistent = true }).Dispose();
        var exception = Assert.Throws<LinuxException>(() => Open(new TapOptions { Name = "tap0", Queues = 2 }));
        Assert.Equal(Errno.EINVAL, exception.Errno);
        Assert.Contains("ip link delete tap0", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_NameOfAnotherDevice_IsRefusedWithRemedy()
    {
        var exception = Assert.Throws<LinuxException>(() => Open(new TapOptions { Name = "lo" }));
        Assert.Contains("choose another name", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_AlreadyOpen_IsRefusedWithReason()
    {
        using TapDevice device = Open(new TapOptions { Name = "tap0" });
        var exception = Assert.Throws<LinuxException>(() => Open(new TapOptions { Name = "tap0" }));
        Assert.Equal(Errno.EBUSY, exception.Errno);
        Assert.Contains("another process has tap0 open", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("sixteen-bytes-xx")]
    public void Open_ImpossibleName_IsRefused(string name) =>
        Assert.Throws<ArgumentException>(() => Open(new TapOptions { Name = name }));

    [Fact]
    public void Write_EchoRequest_KernelAnswers()
    {
        using TapNode node = new(_space);
        byte[] payload = [.. Enumerable.Range(0, 1400).Select(value => (byte)value)];
        Assert.True(node.TryWrite(TapNode.Echo(payload), default));
        (byte[] frame, VirtioNetHeader offload) = node.ReadUntil(frame => frame[12] == 8 && frame[23] == 1);
        Assert.Equal(VirtioGsoType.None, offload.GsoType);
        Assert.Equal(0, frame[34]);
        Assert.Equal(payload, frame[42..]);
    }

    [Fact]
    public void Write_DeviceDown_MarksTheFrameRefused()
    {
        using TapDevice device = Open(new TapOptions { Name = "tap0" });
        var memory = new PacketMemory(4096);
        var batch = new GatherBatch(2, 2);
        batch.Add(default, [memory.Slice(0, 60)], 60);
        Assert.Equal(0, device.Queues[0].Write(batch));
        Assert.True(batch.Frames[0].Refused);
    }

    [Fact]
    public void Read_NothingWaiting_IsEmpty()
    {
        using TapDevice device = Open(new TapOptions { Name = "tap0" });
        var batch = new FrameBatch(new PacketMemory(1 << 17), 64, 4, 4);
        Assert.Equal(0, device.Queues[0].Read(batch));
    }

    [Fact]
    public void Read_DeviceDeleted_Throws()
    {
        using TapDevice device = Open(new TapOptions { Name = "tap0" });
        _space.Ip("link delete tap0");
        var batch = new FrameBatch(new PacketMemory(1 << 17), 64, 4, 4);
        Assert.Contains("tap0", Assert.Throws<LinuxException>(() => device.Queues[0].Read(batch)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Read_TcpSend_YieldsSuperPackets()
    {
        using TapNode node = new(_space);
        using Socket client = _space.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        Task connected = client.ConnectAsync(new IPEndPoint(TapNode.RemoteAddress, 5001));
        node.AcceptTcp();
        await connected.WaitAsync(TimeSpan.FromSeconds(5));

        byte[] sent = UnderlayPair.RandomBytes(10_000);
        Assert.Equal(sent.Length, await client.SendAsync(sent));
        (byte[] frame, VirtioNetHeader offload) = node.ReadUntil(frame => frame.Length > 1514);
        Assert.Equal(VirtioGsoType.Tcp4, offload.GsoType & ~VirtioGsoType.Ecn);
        Assert.Equal(VirtioNetFlags.NeedsChecksum, offload.Flags);
        Assert.Equal(34, offload.ChecksumStart);
        Assert.Equal(16, offload.ChecksumOffset);
        Assert.Equal(1460, offload.SegmentSize);
        Assert.Equal(sent.Take(frame.Length - 54), frame.Skip(54));
        client.Close(0);
    }

    [Fact]
    public void Write_UdpSuperPacket_ArrivesAsDatagrams()
    {
        using TapNode node = new(_space);
        using Socket server = _space.Run(() =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveTimeout = 5000 };
            socket.Bind(new IPEndPoint(TapNode.LocalAddress, 6000));
            return socket;
        });
        byte[] payload = UnderlayPair.RandomBytes(2500);
        (byte[] frame, VirtioNetHeader offload) = TapNode.UdpSuperPacket(payload, segmentSize: 1000, port: 6000);
        if (!KernelHasUso)
        {
            Assert.False(node.TryWrite(frame, offload));
            return;
        }
        Assert.True(node.TryWrite(frame, offload));
        byte[] received = new byte[4000];
        Assert.Equal(1000, server.Receive(received));
        Assert.Equal(payload[..1000], received[..1000]);
        Assert.Equal(1000, server.Receive(received));
        Assert.Equal(500, server.Receive(received));
        Assert.Equal(payload[2000..], received[..500]);
    }

    private TapDevice Open(TapOptions options) => _space.Run(() => TapDevice.Open(options));

    private IEnumerable<string> LinkNames()
    {
        using Rtnetlink netlink = _space.Run(() => new Rtnetlink());
        return [.. netlink.ListLinks().Select(link => link.Name).Order()];
    }
}
