using System.Collections.Frozen;

namespace Overlay.Dataplane.Forwarding;

/// <summary>Peers by underlay address: who may send to us. The source port does not matter, it carries entropy.</summary>
public sealed class PeerTable(IEnumerable<Peer> peers)
{
    private readonly FrozenDictionary<UInt128, Peer> _byAddress = peers.ToFrozenDictionary(peer => peer.Endpoint.Address);

    /// <summary>Every peer once, in no order.</summary>
    public IReadOnlyList<Peer> All => _byAddress.Values;

    public Peer? Find(UInt128 address) => _byAddress.TryGetValue(address, out Peer? peer) ? peer : null;
}
