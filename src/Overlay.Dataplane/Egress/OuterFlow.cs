using Overlay.Dataplane.Buffers;
using Overlay.Dataplane.Forwarding;

namespace Overlay.Dataplane.Egress;

/// <summary>What all datagrams of one train share.</summary>
/// <param name="Protocol">IP protocol of the outer packet where it is not UDP; else 0.</param>
/// <param name="EncapsulationLimit">Limit to write, or <see cref="DatagramTrain.NoLimit"/>.</param>
internal readonly record struct OuterFlow(
    Peer Peer, ushort SourcePortIndex, byte TrafficClass, byte TimeToLive, byte Protocol = 0, short EncapsulationLimit = DatagramTrain.NoLimit)
{
    /// <summary>The outer packet may be fragmented: see <see cref="DatagramTrain.MayFragment"/>.</summary>
    public bool MayFragment { get; init; }
}
