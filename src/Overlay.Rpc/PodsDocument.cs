namespace Overlay.Rpc;

/// <summary>What the local API answers of pods.</summary>
public sealed record PodsDocument(IReadOnlyList<PodStatus> Pods);

/// <summary>One interface of a container.</summary>
/// <param name="Namespace">Of the pod; null where the runtime told none.</param>
/// <param name="Name">Of the pod; null where the runtime told none.</param>
/// <param name="Uid">Of the pod; null where the runtime told none.</param>
/// <param name="Node">That it is on.</param>
/// <param name="Addresses">With the lengths of their on-link prefixes.</param>
/// <param name="Interface">In the container.</param>
/// <param name="HostInterface">Its other end, on the node.</param>
/// <param name="Mtu">Bytes of an IP packet.</param>
/// <param name="Owner">Network, container and interface: for whom the addresses are held.</param>
/// <param name="NetworkNamespace">Path of the container's namespace when it was added.</param>
/// <param name="State"><c>ready</c>, or <c>adding</c>.</param>
public sealed record PodStatus(
    string? Namespace,
    string? Name,
    string? Uid,
    string Node,
    IReadOnlyList<string> Addresses,
    string Interface,
    string HostInterface,
    string Mac,
    int Mtu,
    string Network,
    string ContainerId,
    string Owner,
    string NetworkNamespace,
    string State,
    DateTimeOffset Since);
