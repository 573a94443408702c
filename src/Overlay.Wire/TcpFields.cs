namespace Overlay.Wire;

/// <summary>What <see cref="TcpHeader.Write"/> writes, in host order; the data offset follows from the options.</summary>
public readonly record struct TcpFields
{
    public required ushort SourcePort { get; init; }

    public required ushort DestinationPort { get; init; }

    public uint SequenceNumber { get; init; }

    public uint AcknowledgmentNumber { get; init; }

    public TcpFlags Flags { get; init; }

    /// <summary>As sent, not scaled.</summary>
    public ushort Window { get; init; }

    public ushort UrgentPointer { get; init; }
}
