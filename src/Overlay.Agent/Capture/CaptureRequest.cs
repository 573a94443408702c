using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Http;
using Overlay.Dataplane.Forwarding;
using Overlay.Dataplane.Observation;
using Overlay.Rpc;
using Overlay.Wire;

namespace Overlay.Agent.Capture;

/// <summary>What somebody wants to capture.</summary>
/// <param name="Count">Packets after which it ends; null: none.</param>
/// <param name="Segmented">Super-packets are written as the packets that they stand for.</param>
/// <param name="FromRing">What the rings hold, and no more.</param>
internal sealed record CaptureRequest(CaptureFilter Filter, long? Count, int SnapLength, bool Segmented, bool FromRing)
{
    /// <summary>Reads a query.</summary>
    /// <param name="snapshot">Knows the names.</param>
    /// <param name="problem">What is wrong with it, and what to do.</param>
    public static CaptureRequest? TryRead(IQueryCollection query, ForwardingSnapshot snapshot, out string problem)
    {
        problem = "";
        string? peer = query[LocalApi.PeerQuery], segment = query[LocalApi.SegmentQuery], host = query[LocalApi.HostQuery], at = query[LocalApi.AtQuery];
        if (peer is not null && snapshot.Peers.All.All(each => each.Name != peer)) problem = $"there is no peer '{peer}'; 'overlay peers' lists them";
        else if (segment is not null && snapshot.Segments.All(each => each.Name != segment)) problem = $"there is no segment '{segment}'; 'overlay status' lists them";
        else if (at is not (null or "inner" or "outer")) problem = $"'{at}' is neither inner nor outer";
        int hostBits = 128;
        UInt128? hostAddress = null;
        if (host is not null && !TryReadHost(host, out hostAddress, out hostBits)) problem = $"'{host}' is no address or prefix; write it as 10.244.1.2, 10.244.1.0/24 or fd00:244:1::/64";
        int? port = Number(query, LocalApi.PortQuery, 0, ushort.MaxValue, ref problem);
        int? protocol = Number(query, LocalApi.ProtocolQuery, 0, byte.MaxValue, ref problem);
        int? count = Number(query, LocalApi.CountQuery, 1, int.MaxValue, ref problem);
        int snapLength = Number(query, LocalApi.SnapLengthQuery, 64, CapturedPackets.MostSnapLength, ref problem) ?? CapturedPackets.MostSnapLength;
        if (problem.Length > 0) return null;
        var filter = new CaptureFilter
        {
            Peer = peer,
            Segment = segment,
            Host = hostAddress,
            HostBits = hostBits,
            Port = (ushort?)port,
            Protocol = (byte?)protocol,
            DroppedOnly = IsTrue(query, LocalApi.DroppedQuery),
            At = at switch { "inner" => ObservedAt.Inner, "outer" => ObservedAt.Outer, _ => null },
        };
        return new CaptureRequest(filter, count, snapLength, IsTrue(query, LocalApi.SegmentedQuery), IsTrue(query, LocalApi.RingQuery));
    }

    private static bool TryReadHost(string text, out UInt128? address, out int bits)
    {
        (address, bits) = (null, 128);
        if (IPAddress.TryParse(text, out IPAddress? single))
        {
            address = IpBits.V6OrMapped(single);
            return true;
        }
        if (!IPNetwork.TryParse(text, out IPNetwork prefix)) return false;
        address = IpBits.V6OrMapped(prefix.BaseAddress);
        bits = prefix.PrefixLength + (IpBits.IsMapped(address.Value) ? 96 : 0);
        return true;
    }

    private static bool IsTrue(IQueryCollection query, string key) => query[key] == "true";

    private static int? Number(IQueryCollection query, string key, int least, int most, ref string problem)
    {
        string? text = query[key];
        if (text is null) return null;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most) return number;
        problem = string.Create(CultureInfo.InvariantCulture, $"{key} '{text}' is no number from {least} to {most}");
        return null;
    }
}
