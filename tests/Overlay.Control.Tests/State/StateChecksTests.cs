using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;

namespace Overlay.Control.Tests.State;

/// <summary>State that no request makes, as a hand in the store or a fault may leave it: each contradiction is named with its remedy.</summary>
public sealed class StateChecksTests
{
    private static readonly DateTimeOffset Now = DateTimeOffset.UnixEpoch;

    private readonly List<StoreEntry> _entries = [];

    public StateChecksTests()
    {
        Put(Network("pods", 42, "10.1.0.0/16", "fd00:1::/64"));
        Put(Node("a", "192.0.2.1"));
        Put(Node("b", "192.0.2.2"));
        Put(Block("pods", "10.1.0.0/26", "a"));
        Put(Block("pods", "10.1.0.64/26", "b"));
        Put(Block("pods", "10.1.0.48/29", "b") with { LentBy = "a" });
        Put(Block("pods", "fd00:1::/122", "a"));
    }

    [Fact]
    public void Run_SoundState_FindsNothing() => Assert.Empty(Run());

    [Fact]
    public void Run_NetworksThatCollide_AreNamed()
    {
        Put(Network("more", 42, "10.1.128.0/17"));

        Assert.Equal(
            ["pool 10.1.128.0/17 of network 'more' overlaps 10.1.0.0/16 of 'pods'; delete one of the networks", "VNI 42 is that of more and pods; delete one of the networks"], Run());
    }

    [Theory]
    [InlineData("10.1.0.128/26", "gone", "block 10.1.0.128/26 of network 'pods' is held by node 'gone', which does not exist; overlay node remove gone")]
    [InlineData("10.2.0.0/26", "a", "block 10.2.0.0/26 of network 'pods', held by 'a', is in none of its pools; drain node 'a'")]
    [InlineData("10.1.1.0/25", "a", "block 10.1.1.0/25 of network 'pods', held by 'a', is in none of its pools; drain node 'a'")]
    public void Run_BlockThatCannotBe_IsNamed(string prefix, string holder, string expected)
    {
        Put(Block("pods", prefix, holder));

        Assert.Equal([expected], Run());
    }

    [Fact]
    public void Run_NodeInsideAPool_IsNamed()
    {
        Put(Node("c", "10.1.9.9"));

        Assert.Equal(["pool 10.1.0.0/16 of network 'pods' holds the underlay address 10.1.9.9 of node 'c'; give the node another address, or delete the network and create it with other pools"], Run());
    }

    [Fact]
    public void Run_BlocksThatOverlap_AreNamed()
    {
        Put(Block("pods", "10.1.0.0/25", "b"));

        Assert.Contains("blocks 10.1.0.0/26 and 10.1.0.0/25 of network 'pods' overlap; drain the node of one of them", Run().Select(Sorted));

        // Which of two that begin alike comes first does not matter.
        static string Sorted(string problem) => problem.Replace("blocks 10.1.0.0/25 and 10.1.0.0/26", "blocks 10.1.0.0/26 and 10.1.0.0/25", StringComparison.Ordinal);
    }

    [Fact]
    public void Run_BlockOfANetworkThatIsGone_IsNamed()
    {
        Put(Block("old", "10.7.0.0/26", "a"));

        Assert.Equal(["block 10.7.0.0/26 is of network 'old', which does not exist; overlay network delete old"], Run());
    }

    [Fact]
    public void Run_ReservationRouteAndUnderlayThatContradict_AreNamed()
    {
        Put("state/reservations/pods/10.9.0.1", StateDocuments.Encode(new ReservationDocument("pods", "10.9.0.1", "printer", Now)));
        Put("state/routes/pods/10.8.0.0-16", StateDocuments.Encode(new RouteDocument("pods", "10.8.0.0/16", "gone")));
        Put("state/routes/pods/10.1.7.0-24", StateDocuments.Encode(new RouteDocument("pods", "10.1.7.0/24", "b")));
        Put(Node("c", "192.0.2.2") with { Registered = Now.AddHours(1) });

        Assert.Equal(
            [
                "10.9.0.1 is reserved in network 'pods', none of whose pools holds it; overlay ipam release 10.9.0.1 --network pods",
                "route 10.8.0.0/16 of network 'pods' is through node 'gone', which does not exist; overlay network delete-route pods 10.8.0.0/16",
                "route 10.1.7.0/24 of network 'pods' overlaps the pool 10.1.0.0/16; overlay network delete-route pods 10.1.7.0/24",
                "underlay address 192.0.2.2 is that of c and b; the last to register, c, is sent to; 'overlay node remove' the others if they are gone",
            ],
            Run());
    }

    private string[] Run()
    {
        var cache = new StateCache();
        cache.Reset(new StoreRange(_entries.Count + 1, _entries));
        return [.. StateChecks.Run(cache).Select(problem => $"{problem.What}; {problem.Remedy}")];
    }

    private static NetworkDocument Network(string name, uint vni, params string[] pools) =>
        new(name, vni, "vxlan", [.. pools.Select(pool => new PoolDocument(pool, pool.Contains(':', StringComparison.Ordinal) ? 122 : 26, []))]);

    private static NodeDocument Node(string name, string underlay) => new(name, "m", 1, [underlay], "02:00:00:00:00:01", null, new Dictionary<string, string>()) { Registered = Now };

    private static BlockDocument Block(string network, string prefix, string holder) => new(network, prefix, holder, Now, []);

    private void Put(NetworkDocument network) => Put(StateKeys.Network(network.Name), StateDocuments.Encode(network));

    private void Put(NodeDocument node) => Put(StateKeys.Node(node.Name), StateDocuments.Encode(node));

    private void Put(BlockDocument block) => Put(block.Key, StateDocuments.Encode(block));

    private void Put(string key, byte[] value) => _entries.Add(new StoreEntry(key, value, _entries.Count + 1, _entries.Count + 1));
}
