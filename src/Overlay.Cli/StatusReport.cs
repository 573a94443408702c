using System.Globalization;
using System.Text;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary>Renders a status for people. Packets are exact; bytes are rounded (exact in the JSON).</summary>
internal static class StatusReport
{
    private static readonly string[] ByteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

    public static void Write(StatusDocument status, TextWriter output)
    {
        string ready = status.Ready ? "ready" : "not ready";
        output.WriteLine($"{status.Node}: overlayd {status.Version}, {ready}, up {Duration(status.UptimeSeconds)}, configuration revision {status.Revision}");
        WriteUnderlay(status.Underlay, output);
        if (status.Control is { } control) WriteControl(control, output);
        WriteSegments(status, output);
        WriteQueues(status.Queues, output);
        Heading("PEERS", output);
        WritePeers(status.Peers, output);
        Heading("ROUTES", output);
        WriteRoutes(status.Routes, output);
        if (status.RouteCount > status.Routes.Count) output.WriteLine($"  and {Count(status.RouteCount - status.Routes.Count)} more: overlay routes");
        WriteDrops(status, output);
    }

    private static void WriteUnderlay(UnderlayStatus underlay, TextWriter output)
    {
        Heading("UNDERLAY", output);
        Field("interface", underlay.Interface ?? "any", output);
        Field("addresses", string.Join(", ", underlay.Addresses), output);
        Field("mtu", underlay.Mtu.ToString(CultureInfo.InvariantCulture), output);
        Field("listens", string.Join(", ", underlay.Ports.Select(port => string.Create(CultureInfo.InvariantCulture, $"{port.Encapsulation} {port.Port}").TrimEnd())), output);
        Field("egress", $"{underlay.Mode} ({underlay.ModeReason})", output);
        foreach (string refusal in underlay.Refusals) Field("refused", refusal, output);
    }

    private static void WriteControl(ControlStatus control, TextWriter output)
    {
        Heading("CONTROL", output);
        Field("controller", control.Controller ?? "none answers; what was known last stays in force", output);
        Field("revision", control.Revision.ToString(CultureInfo.InvariantCulture), output);
        foreach (BlockStatus block in control.Blocks) Field("block", $"{block.Network} {block.Prefix}, {block.InUse} of {block.Size} addresses in use", output);
        foreach (string problem in control.Problems) Field("problem", problem, output);
    }

    private static void WriteSegments(StatusDocument status, TextWriter output)
    {
        IReadOnlyList<SegmentStatus> segments = status.Segments;
        Heading("SEGMENTS", output);
        var table = new TextTable(
            TextTable.Text("NAME"), TextTable.Text("KIND").Yields(3), TextTable.Text("DEVICE"), TextTable.Number("VNI"), TextTable.Text("ENCAPSULATION"), TextTable.Text("EGRESS").Yields(2), TextTable.Number("MTU"), TextTable.Text("MAC").Yields(1),
            TextTable.Text("ADDRESSES"), TextTable.Text("OFFLOADS").Yields(4));
        foreach (SegmentStatus segment in segments)
        {
            table.Add(
                segment.Name, segment.Kind, segment.Device, segment.Vni?.ToString(CultureInfo.InvariantCulture) ?? "-", segment.Encapsulation, segment.Mode,
                segment.Mtu.ToString(CultureInfo.InvariantCulture), segment.Mac, OrDash(segment.Addresses), OrDash(segment.Offloads));
        }
        table.Write(output);
        foreach (SegmentStatus segment in segments)
        {
            if (segment.Bridging is { } bridging)
                output.WriteLine($"  {segment.Device}: {Bridging(bridging, [.. status.Queues.Where(queue => queue.Segment == segment.Name)])}");
            if (segment.MtuWarning is { } warning) output.WriteLine($"  {segment.Device}: {warning}");
            foreach (string refusal in segment.Refusals) output.WriteLine($"  {segment.Device}: {refusal}");
        }
    }

    private static string Bridging(BridgingStatus bridging, IReadOnlyList<QueueStatus> queues)
    {
        var text = new StringBuilder(bridging.Bridge is { } bridge ? $"port of {bridge}; " : "");
        text.Append(CultureInfo.InvariantCulture, $"floods to {OrDash(bridging.Flood)}; MACs: {bridging.FixedMacs} fixed, ");
        if (bridging.LearnLimit is { } limit)
        {
            text.Append(CultureInfo.InvariantCulture, $"{bridging.LearnedMacs} of {limit} learned, {Count(queues.Sum(queue => queue.MacMoves))} moves");
            if (queues.Sum(queue => queue.MacsNotLearned) is > 0 and var missed) text.Append(CultureInfo.InvariantCulture, $", {Count(missed)} packets without room to learn");
        }
        else
        {
            text.Append("learning is off");
        }
        text.Append(CultureInfo.InvariantCulture, $"; neighbours: {bridging.Neighbours} fixed");
        if (bridging.LearnedNeighbours is { } learned) text.Append(CultureInfo.InvariantCulture, $", {learned} learned");
        return text.ToString();
    }

    private static void WriteQueues(IReadOnlyList<QueueStatus> queues, TextWriter output)
    {
        Heading("QUEUES", output);
        var table = new TextTable(
            TextTable.Number("QUEUE"), TextTable.Text("SEGMENT"), TextTable.Text("DIRECTION"),
            TextTable.Number("PACKETS IN"), TextTable.Number("PACKETS OUT"), TextTable.Number("ANSWERED").Yields(2), TextTable.Number("REPLICATED").Yields(4), TextTable.Number("DROPPED"),
            TextTable.Number("ICMP ERRORS").Yields(1), TextTable.Number("BYTES OUT"), TextTable.Number("SUPER-PACKETS").Yields(3));
        foreach (QueueStatus queue in queues)
        {
            string number = queue.Queue.ToString(CultureInfo.InvariantCulture);
            long egressDrops = queue.Drops.Where(drop => IsEgress(drop.Key)).Sum(drop => drop.Value);
            long ingressDrops = queue.Drops.Values.Sum() - egressDrops;
            if (queue.Segment is { } segment)
            {
                table.Add(
                    number, segment, "egress", Count(queue.EgressIn.Packets), Count(queue.EgressOut.Packets), Count(queue.Answered), Count(queue.Replicated),
                    Count(egressDrops), Count(queue.IcmpErrors), Bytes(queue.EgressOut.Bytes), Count(queue.EgressOut.SuperPackets));
            }
            table.Add(
                number, queue.Segment ?? "(none)", "ingress", Count(queue.IngressIn.Packets), Count(queue.IngressOut.Packets), "-", "-",
                Count(ingressDrops), "-", Bytes(queue.IngressOut.Bytes), Count(queue.IngressOut.SuperPackets));
        }
        table.Write(output);
    }

    public static void WritePeers(IReadOnlyList<PeerStatus> peers, TextWriter output)
    {
        if (peers.Count == 0)
        {
            output.WriteLine("  none");
            return;
        }
        var table = new TextTable(
            TextTable.Text("NAME"), TextTable.Text("ENDPOINT"), TextTable.Text("MAC").Yields(2),
            TextTable.Number("PACKETS SENT"), TextTable.Number("BYTES SENT"),
            TextTable.Number("PACKETS RECEIVED"), TextTable.Number("BYTES RECEIVED"), TextTable.Number("PATH MTU"), TextTable.Text("KNOWN BY").Yields(1));
        foreach (PeerStatus peer in peers)
        {
            table.Add(
                peer.Name, peer.Endpoint, Macs(peer), Count(peer.Egress.Packets), Bytes(peer.Egress.Bytes),
                Count(peer.Ingress.Packets), Bytes(peer.Ingress.Bytes), peer.Path.Mtu.ToString(CultureInfo.InvariantCulture), KnownBy(peer.Path));
        }
        table.Write(output);
        foreach (PeerStatus peer in peers.Where(peer => peer.Path.LeadsBack))
            output.WriteLine($"  ALARM: the host's route to {peer.Name} leads back into the overlay: nothing is sent to it until that route is gone");
        foreach (PeerStatus peer in peers.Where(peer => peer.Path.BlackHole))
        {
            output.WriteLine(
                $"  ALARM: black hole on the way to {peer.Name}: packets of more than {peer.Path.Mtu} bytes are lost without an ICMP error, and {peer.Path.LinkMtu} leave this host");
        }
    }

    private static string KnownBy(PathStatus path) => path.State == "complete" ? path.Evidence : $"{path.Evidence} ({path.State})";

    /// <summary>One MAC where all segments have the same, else each with its segment.</summary>
    private static string Macs(PeerStatus peer) => peer.Macs.Values.Distinct().Count() == 1
        ? peer.Macs.Values.First()
        : OrDash([.. peer.Macs.Select(mac => $"{mac.Key} {mac.Value}")]);

    public static void WriteRoutes(IEnumerable<RouteStatus> routes, TextWriter output)
    {
        bool any = false;
        var table = new TextTable(
            TextTable.Text("PREFIX"), TextTable.Text("TO"), TextTable.Text("SEGMENT").Yields(1), TextTable.Text("DIRECT").Yields(2), TextTable.Text("SOURCE"),
            TextTable.Number("PRIORITY").Yields(3), TextTable.Number("METRIC").Yields(4), TextTable.Text("WHY"));
        foreach (RouteStatus route in routes)
        {
            table.Add(
                route.Prefix, route.To, route.Segment, route.Direct, RouteCommand.SourceOf(route), RouteCommand.Number(route.Priority),
                RouteCommand.Number(route.Metric), route.Reason);
            any = true;
        }
        if (any) table.Write(output);
        else output.WriteLine("  none");
    }

    private static void WriteDrops(StatusDocument status, TextWriter output)
    {
        Heading("DROPS", output);
        var table = new TextTable(TextTable.Number("PACKETS"), TextTable.Text("REASON"), TextTable.Text("MEANING"));
        bool any = false;
        foreach ((string reason, string meaning) in status.DropReasons)
        {
            long packets = status.Queues.Sum(queue => queue.Drops.GetValueOrDefault(reason));
            if (packets == 0) continue;
            table.Add(Count(packets), reason, meaning);
            any = true;
        }
        if (any) table.Write(output);
        else output.WriteLine("  none");
    }

    private static void Heading(string heading, TextWriter output)
    {
        output.WriteLine();
        output.WriteLine(heading);
    }

    private static void Field(string name, string value, TextWriter output) => output.WriteLine($"  {name,-11}{value}");

    private static bool IsEgress(string reason) => reason.StartsWith("egress-", StringComparison.Ordinal);

    private static string OrDash(IReadOnlyList<string> values) => values.Count == 0 ? "-" : string.Join(", ", values);

    private static string Count(long count) => count.ToString("N0", CultureInfo.InvariantCulture);

    private static string Bytes(long bytes)
    {
        double value = bytes;
        int unit = 0;
        while (value >= 1024 && unit < ByteUnits.Length - 1)
        {
            value /= 1024;
            unit++;
        }
        return value.ToString(unit == 0 ? "0" : "0.0", CultureInfo.InvariantCulture) + " " + ByteUnits[unit];
    }

    internal static string Duration(double seconds)
    {
        var span = TimeSpan.FromSeconds(Math.Floor(seconds));
        if (span.TotalDays >= 1) return $"{span.Days}d {span.Hours}h {span.Minutes}m";
        if (span.TotalHours >= 1) return $"{span.Hours}h {span.Minutes}m {span.Seconds}s";
        return span.TotalMinutes >= 1 ? $"{span.Minutes}m {span.Seconds}s" : $"{span.Seconds}s";
    }
}
