using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Http;
using Overlay.Agent.Status;
using Overlay.Rpc;

namespace Overlay.Agent.Api;

/// <summary>Answers <see cref="LocalApi.RouteLookupPath"/>.</summary>
internal static class RouteLookupAnswer
{
    public static Task WriteAsync(HttpContext context, StatusReporter reporter)
    {
        IQueryCollection query = context.Request.Query;
        string? text = query[LocalApi.AddressQuery];
        if (!IPAddress.TryParse(text, out IPAddress? address)) return LocalApiServer.RefuseAsync(context, $"'{text}' is no IP address");
        string? fromText = query[LocalApi.FromQuery];
        IPAddress? from = null;
        if (fromText is not null && (!IPAddress.TryParse(fromText, out from) || from.AddressFamily != address.AddressFamily))
            return LocalApiServer.RefuseAsync(context, $"'{fromText}' is no source of packets to {address}: it must be an address of the same family");
        if (!TryRead(query[LocalApi.ProtocolQuery], byte.MaxValue, out int? protocol)) return LocalApiServer.RefuseAsync(context, "the protocol is no number from 0 to 255");
        if (!TryRead(query[LocalApi.SourcePortQuery], ushort.MaxValue, out int? sourcePort)
            || !TryRead(query[LocalApi.DestinationPortQuery], ushort.MaxValue, out int? destinationPort))
            return LocalApiServer.RefuseAsync(context, "a port is no number from 0 to 65535");

        string? segment = query[LocalApi.SegmentQuery];
        var flow = new FlowQuestion(address, from, (byte?)protocol, (ushort)(sourcePort ?? 0), (ushort)(destinationPort ?? 0));
        return reporter.Lookup(flow, segment) is { } found
            ? LocalApiServer.AnswerAsync(context, found, StatusJson.Default.RouteLookupDocument)
            : LocalApiServer.RefuseAsync(context, $"there is no segment '{segment}'; 'overlay status' lists them");
    }

    private static bool TryRead(string? text, int most, out int? value)
    {
        value = null;
        if (text is null) return true;
        bool good = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number <= most;
        value = number;
        return good;
    }
}
