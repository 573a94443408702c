namespace Overlay.Dataplane.Mtu;

/// <summary>What is done about packets that may not fit the way to a peer.</summary>
public sealed record MtuPolicy
{
    /// <summary>Clamps the MSS by the path, fragments inside.</summary>
    public static MtuPolicy Default { get; } = new();

    /// <summary>Most that the MSS option of a TCP SYN may say, in bytes; 0: it is left alone; null: what the path to the peer carries.</summary>
    public int? MssClamp { get; init; }

    /// <summary>IPv4 packets without DF that are too big are fragmented before encapsulation; otherwise they are dropped.</summary>
    public bool FragmentsInner { get; init; } = true;
}
