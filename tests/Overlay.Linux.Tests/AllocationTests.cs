using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Offload;
using Overlay.Linux.Tap;
using Overlay.Linux.Tests.Support;
using Overlay.Testing;

namespace Overlay.Linux.Tests;

/// <summary>The packet path allocates nothing once its first batch has passed.</summary>
public sealed class AllocationTests
{
    private const int Rounds = 100;

    [Fact]
    public void SendAndReceive_AfterTheFirstBatch_AllocateNothing()
    {
        using var pair = new UnderlayPair();
        for (int i = 0; i < 20; i++) pair.AddTrain(new byte[5000], segmentSize: 1000, ipv6: i % 2 == 0, sourcePortIndex: i % 5, trafficClass: 1);
        var received = new ReceiveBatch(16);
        AssertNothingAllocated(() =>
        {
            pair.Send();
            pair.Second.Receive(received);
        });
    }

    [Fact]
    public void SendSingly_AfterTheFirstBatch_AllocatesNothing()
    {
        using var pair = new UnderlayPair();
        for (int i = 0; i < UnderlayPair.SourcePortCount; i++) pair.SetSendOption(i, Interop.Sockets.SOL_SOCKET, 11, 1);
        pair.AddTrain(new byte[5000], segmentSize: 1000, ipv6: false);
        AssertNothingAllocated(pair.Send);
        Assert.Single(pair.First.Refusals);
    }

    [Fact]
    public void ReadAndWrite_OfATapQueue_AllocateNothing()
    {
        using var space = new NetworkNamespace();
        using TapDevice device = space.Run(() => TapDevice.Open(new TapOptions { Name = "tap0" }));
        space.Ip("link set tap0 up");
        var memory = new PacketMemory(4096);
        var written = new GatherBatch(4, 8);
        for (int i = 0; i < 4; i++) written.Add(default(VirtioNetHeader), [memory.Slice(0, 40), memory.Slice(41, 60)], 100);
        var read = new FrameBatch(new PacketMemory(1 << 17), 64, 16, 4);
        AssertNothingAllocated(() =>
        {
            Assert.True(device.Queues[0].Write(written) == 4);
            read.Clear();
            device.Queues[0].Read(read);
        });
    }

    private static void AssertNothingAllocated(Action round)
    {
        round();
        Assert.Equal(0, AllocationMeter.Measure(() =>
        {
            for (int i = 0; i < Rounds; i++) round();
        }));
    }
}
