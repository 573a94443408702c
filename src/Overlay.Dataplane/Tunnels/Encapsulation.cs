namespace Overlay.Dataplane.Tunnels;

/// <summary>What wraps inner packets into UDP datagrams.</summary>
public enum Encapsulation : byte
{
    /// <summary>RFC 7348.</summary>
    Vxlan,

    /// <summary>RFC 8926.</summary>
    Geneve,
}
