using Overlay.Dataplane.Forwarding;

namespace Overlay.Dataplane.Egress;

/// <summary>What all datagrams of one train share.</summary>
internal readonly record struct OuterFlow(Peer Peer, ushort SourcePortIndex, byte TrafficClass, byte TimeToLive)
{
    /// <summary>The outer packet may be fragmented: see <see cref="Buffers.DatagramTrain.MayFragment"/>.</summary>
    public bool MayFragment { get; init; }
}
