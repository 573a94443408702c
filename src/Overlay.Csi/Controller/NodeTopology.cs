using Overlay.Csi.Protos;

namespace Overlay.Csi.Controller;

/// <summary>Where the volumes of this driver can be reached: on its node.</summary>
internal sealed class NodeTopology(CsiOptions options)
{
    public string Key => options.TopologyKey;

    public string Node => options.NodeId;

    public Topology Here => new() { Segments = { [Key] = Node } };

    /// <summary>Whether a volume here meets it: what is preferred has no say where something is requisite.</summary>
    public bool IsHere(TopologyRequirement? requirement) =>
        requirement is null || (requirement.Requisite.Count == 0 && requirement.Preferred.Count == 0)
        || (requirement.Requisite.Count > 0 ? requirement.Requisite : requirement.Preferred).Any(IsHere);

    public bool IsHere(Topology topology) => topology.Segments.All(segment => segment.Key == Key && segment.Value == Node);
}
