using Overlay.Dataplane.Ingress;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Ingress;

[Collection(nameof(RunAlone))]
public sealed class AllocationTests
{
    [Fact]
    public void Process_Batches_AllocateNothing()
    {
        var random = new Random(7);
        var node = new IngressNode();
        List<byte[]> arrivals = RandomPackets.Arrivals(random);
        arrivals.AddRange(Enumerable.Range(0, 20).Select(_ => RandomPackets.Mutate(arrivals[random.Next(20)], random)));
        RandomPackets.DeliverInTrains(node, arrivals, random);
        node.DeliverSingly(new PlainPacket { Payload = new byte[9000] }.BuildUnfinished());
        node.Underlay.Deliver(IngressNode.Stranger, new byte[100]);
        node.Underlay.Receive(node.Batch);
        byte[] received = node.Batch.Memory.Span(0, node.Batch.Memory.Length).ToArray();
        int frames = Round(node);

        Assert.Equal(0, AllocationMeter.Measure(() =>
        {
            for (int i = 0; i < 100; i++)
            {
                received.CopyTo(node.Batch.Memory.Span(0, received.Length));
                frames += Round(node);
            }
        }));
        Assert.True(node.Counters.IngressOut.SuperPackets > 100);
        Assert.True(frames > node.Counters.IngressOut.SuperPackets);
        node.AssertConserved();
    }

    /// <returns>Frames for the devices, which take them all.</returns>
    private static int Round(IngressNode node)
    {
        int frames = 0;
        node.Process();
        foreach (IngressPort port in node.Ports)
        {
            frames += port.Frames.Count;
            port.Account();
        }
        return frames;
    }
}
