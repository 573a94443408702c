using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Inner;
using Overlay.Testing;

namespace Overlay.Dataplane.Tests.Forwarding;

public sealed class PeerGroupTests
{
    private const int Flows = 100_000;

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 1, 1, 1)]
    [InlineData(1, 2, 3, 10)]
    [InlineData(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)]
    public void Choose_ManyFlows_SharesThemByWeight(params int[] weights) => Seeded.Check(5, random =>
    {
        int[] counts = new int[weights.Length];
        PeerGroup group = Group(random.Next(), weights);
        foreach (uint flow in RandomFlows(random)) counts[group.Choose(flow)]++;
        for (int i = 0; i < weights.Length; i++)
        {
            double share = Flows * (double)weights[i] / weights.Sum();
            // Four deviations of the buckets' and of the flows' own chance; 5 % for the even four.
            double allowed = 4 * (Math.Sqrt(share) + (share * Math.Sqrt(weights.Sum() / (double)weights[i] / 65536)));
            Assert.InRange(counts[i], share - allowed, share + allowed);
            if (weights.Length == 4 && weights.Max() == 1) Assert.InRange(counts[i], 0.95 * share, 1.05 * share);
        }
    });

    [Fact]
    public void Choose_OneOfFourGone_MovesOnlyItsFlows() => Seeded.Check(10, random =>
    {
        int salt = random.Next();
        PeerGroup before = Group(salt, 1, 2, 1, 3);
        int gone = random.Next(4);
        var after = new PeerGroup([.. before.Members.Where(member => member.Peer != gone)]);
        int moved = 0;
        int[] took = new int[4];
        foreach (uint flow in RandomFlows(random))
        {
            int owner = before.Choose(flow);
            if (owner != gone)
            {
                Assert.Equal(owner, after.Choose(flow));
                continue;
            }
            moved++;
            took[after.Choose(flow)]++;
        }
        Assert.InRange(moved, 1, Flows);
        // Each of the others takes over some: none is left out, and the one that is gone gets none.
        for (int peer = 0; peer < 4; peer++) Assert.Equal(peer != gone, took[peer] > moved / 20);
    });

    [Fact]
    public void Choose_MembersInAnotherOrderUnderOtherNumbers_IsTheSamePeer() => Seeded.Check(5, random =>
    {
        PeerGroup one = Group(7, 1, 2, 3);
        var other = new PeerGroup([.. one.Members.Reverse().Select(member => member with { Peer = member.Peer + 100 })]);
        foreach (uint flow in RandomFlows(random)) Assert.Equal(one.Choose(flow) + 100, other.Choose(flow));
    });

    [Fact]
    public void Choose_FlowsOfOnePeer_StillUseEverySourcePort() => Seeded.Check(3, random =>
    {
        const int ports = 256;
        PeerGroup group = Group(random.Next(), 1, 1, 1, 1);
        int[] used = new int[ports];
        foreach (uint flow in RandomFlows(random))
        {
            if (group.Choose(flow) == 0) used[FlowHash.Index(flow, ports)]++;
        }
        Assert.All(used, count => Assert.InRange(count, 1, Flows));
    });

    [Fact]
    public void Of_AnyTarget_IsTheValueAgain()
    {
        foreach (RouteAction action in Enum.GetValues<RouteAction>())
        {
            foreach (int index in new[] { 0, 1, RouteTarget.MostIndexes - 1 })
                Assert.Equal(new RouteTarget(action, index), RouteTarget.Of(new RouteTarget(action, index).Value));
        }
    }

    private static PeerGroup Group(int salt, params int[] weights) =>
        new([.. weights.Select((weight, i) => new GroupMember(i, $"node-{salt}-{i}", weight))]);

    private static IEnumerable<uint> RandomFlows(Random random)
    {
        uint source = (uint)random.Next();
        for (int i = 0; i < Flows; i++) yield return FlowHash.OfV4(source, 0x0af40209, (uint)i << 16 | 80, 6);
    }
}
