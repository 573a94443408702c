using System.Globalization;
using System.Net;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary>The flow that <c>overlay route get</c> asks about; what is null is left out.</summary>
/// <param name="Address">Inner destination.</param>
internal sealed record RouteQuestion(IPAddress Address)
{
    public IPAddress? From { get; init; }

    /// <summary>IP protocol number.</summary>
    public byte? Protocol { get; init; }

    public ushort? SourcePort { get; init; }

    public ushort? DestinationPort { get; init; }

    /// <summary>Name of the only segment to look in.</summary>
    public string? Segment { get; init; }

    public string ToQuery()
    {
        (string Key, string? Value)[] parts =
        [
            (LocalApi.AddressQuery, Address.ToString()),
            (LocalApi.SegmentQuery, Segment),
            (LocalApi.FromQuery, From?.ToString()),
            (LocalApi.ProtocolQuery, Protocol?.ToString(CultureInfo.InvariantCulture)),
            (LocalApi.SourcePortQuery, SourcePort?.ToString(CultureInfo.InvariantCulture)),
            (LocalApi.DestinationPortQuery, DestinationPort?.ToString(CultureInfo.InvariantCulture)),
        ];
        return string.Join('&', parts.Where(part => part.Value is not null).Select(part => $"{part.Key}={Uri.EscapeDataString(part.Value!)}"));
    }
}
