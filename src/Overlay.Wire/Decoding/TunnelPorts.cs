namespace Overlay.Wire.Decoding;

/// <summary>
/// Which UDP destination ports carry which encapsulation: by default VXLAN 4789 and 8472 (Linux before the assignment), VXLAN-GPE 4790 and
/// Geneve 6081.
/// </summary>
public sealed class TunnelPorts
{
    private readonly Dictionary<ushort, TunnelKind> _kinds = new()
    {
        [VxlanHeader.DefaultPort] = TunnelKind.Vxlan,
        [8472] = TunnelKind.Vxlan,
        [VxlanGpeHeader.DefaultPort] = TunnelKind.VxlanGpe,
        [GeneveHeader.DefaultPort] = TunnelKind.Geneve,
    };

    private readonly HashSet<ushort> _added = [];

    /// <summary>Adds a port. On a default port of another encapsulation the added one is taken.</summary>
    /// <returns>False, and nothing changes, if the port was already added for another encapsulation.</returns>
    public bool TryAdd(ushort port, TunnelKind kind)
    {
        if (!_added.Add(port)) return _kinds[port] == kind;
        _kinds[port] = kind;
        return true;
    }

    /// <returns><see cref="TunnelKind.None"/> for any other port.</returns>
    public TunnelKind Find(ushort destinationPort) => _kinds.GetValueOrDefault(destinationPort);
}
