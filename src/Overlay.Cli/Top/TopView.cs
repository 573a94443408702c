using System.Globalization;
using Overlay.Cli.Terminals;

namespace Overlay.Cli.Top;

/// <summary>What the rows of peers are ordered by.</summary>
internal enum TopOrder
{
    Out,
    In,
    Name,
}

/// <summary>A frame as text.</summary>
internal static class TopView
{
    /// <summary>Of those that packets were dropped of for one reason.</summary>
    private const int NamedPeers = 3;

    /// <summary>Shown whatever room there is.</summary>
    private const int LeastPeers = 3;

    /// <summary>Two blank ones, two of headings, one that tells how many peers are left out, and the last of the screen.</summary>
    private const int LinesBesidePeers = 6;

    private static readonly string[] Units = ["", "k", "M", "G", "T"];

    /// <param name="frame">What to show.</param>
    /// <param name="order">Of peers.</param>
    /// <param name="height">Lines that there is room for; null: any number.</param>
    /// <param name="output">Gets the text.</param>
    public static void Write(TopFrame frame, TopOrder order, int? height, TextWriter output)
    {
        using var head = new ScreenText(Terminal.WidthOf(output));
        WriteHead(frame, head);
        using var rest = new ScreenText(Terminal.WidthOf(output));
        WriteSegments(frame, rest);
        rest.WriteLine();
        WriteDrops(frame, rest);
        int? most = height - LinesOf(head) - LinesOf(rest) - LinesBesidePeers;
        output.Write(head.ToString());
        output.WriteLine();
        WritePeers(frame, order, most is { } room ? Math.Max(LeastPeers, room) : int.MaxValue, output);
        output.WriteLine();
        output.Write(rest.ToString());
    }

    private static void WriteHead(TopFrame frame, ScreenText output)
    {
        WriteList(
            output, $"{frame.Node}: overlayd {frame.Version}", frame.Ready ? "ready" : "NOT READY", $"up {StatusReport.Duration(frame.UptimeSeconds)}",
            $"configuration revision {frame.Revision}");
        WriteList(
            output, $"out {Text(frame.Out)}", $"in {Text(frame.In)}", $"dropped {Si(frame.Drops.Sum(drop => drop.PerSecond))} packets/s",
            $"over {frame.Seconds.ToString("0.0", CultureInfo.InvariantCulture)} s");
    }

    /// <summary>In a line, or as many as it takes.</summary>
    private static void WriteList(ScreenText output, params string[] parts)
    {
        int at = 0;
        for (int i = 0; i < parts.Length; i++)
        {
            string part = i + 1 < parts.Length ? parts[i] + "," : parts[i];
            if (at > 0 && at + 1 + part.Length > output.Width)
            {
                output.WriteLine();
                at = 0;
            }
            else if (at > 0)
            {
                output.Write(' ');
                at++;
            }
            output.Write(part);
            at += part.Length;
        }
        output.WriteLine();
    }

    private static int LinesOf(ScreenText text) => text.ToString().Count(letter => letter == '\n');

    private static void WritePeers(TopFrame frame, TopOrder order, int most, TextWriter output)
    {
        if (frame.Peers.Count == 0)
        {
            output.WriteLine("  no peers");
            return;
        }
        var table = new TextTable(
            TextTable.Text("PEER"), TextTable.Text("ALARM"), TextTable.Text("ENDPOINT").Yields(3), TextTable.Number("OUT PKT/S"), TextTable.Number("OUT BIT/S"), TextTable.Number("IN PKT/S"),
            TextTable.Number("IN BIT/S"), TextTable.Number("DROP/S"), TextTable.Number("PATH MTU").Yields(1), TextTable.Number("RTT MS").Yields(2));
        IEnumerable<PeerRate> sorted = order switch
        {
            TopOrder.Out => frame.Peers.OrderByDescending(peer => peer.Out.Bits).ThenByDescending(peer => peer.In.Bits).ThenBy(peer => peer.Name, StringComparer.Ordinal),
            TopOrder.In => frame.Peers.OrderByDescending(peer => peer.In.Bits).ThenByDescending(peer => peer.Out.Bits).ThenBy(peer => peer.Name, StringComparer.Ordinal),
            _ => frame.Peers.OrderBy(peer => peer.Name, StringComparer.Ordinal),
        };
        foreach (PeerRate peer in sorted.Take(most))
        {
            table.Add(
                peer.Name, Alarms(peer), peer.Endpoint, Si(peer.Out.Packets), Si(peer.Out.Bits), Si(peer.In.Packets), Si(peer.In.Bits), Si(peer.Dropped),
                peer.PathMtu.ToString(CultureInfo.InvariantCulture), peer.RoundTripMilliseconds?.ToString("0.00", CultureInfo.InvariantCulture) ?? "-");
        }
        table.Write(output, namesMissing: false);
        if (frame.Peers.Count > most) output.WriteLine($"  ... {frame.Peers.Count - most} more peers");
    }

    private static string Alarms(PeerRate peer) => (peer.Loops, peer.BlackHole) switch
    {
        (true, true) => "loop, black hole",
        (true, false) => "loop",
        (false, true) => "black hole",
        _ => "-",
    };

    private static void WriteSegments(TopFrame frame, TextWriter output)
    {
        var table = new TextTable(
            TextTable.Text("SEGMENT"), TextTable.Number("OUT PACKETS/S"), TextTable.Number("OUT BIT/S"), TextTable.Number("IN PACKETS/S"), TextTable.Number("IN BIT/S"),
            TextTable.Number("DROPPED/S"));
        foreach (SegmentRate segment in frame.Segments)
            table.Add(segment.Name ?? "(none)", Si(segment.Out.Packets), Si(segment.Out.Bits), Si(segment.In.Packets), Si(segment.In.Bits), Si(segment.Dropped));
        table.Write(output);
    }

    private static void WriteDrops(TopFrame frame, TextWriter output)
    {
        if (frame.Drops.Count == 0)
        {
            output.WriteLine("  no drops");
            return;
        }
        var table = new TextTable(TextTable.Number("DROPPED/S"), TextTable.Number("TOTAL"), TextTable.Text("REASON"), TextTable.Text("PEERS").Yields(2), TextTable.Text("MEANING").Yields(1));
        foreach (DropRate drop in frame.Drops)
            table.Add(Si(drop.PerSecond), drop.Total.ToString("N0", CultureInfo.InvariantCulture), drop.Reason, Peers(drop.Peers), drop.Meaning);
        table.Write(output, namesMissing: false);
    }

    private static string Peers(IReadOnlyList<PeerDropRate> peers)
    {
        if (peers.Count == 0) return "-";
        string named = string.Join(", ", peers.Take(NamedPeers).Select(peer => $"{peer.Name} {Si(peer.PerSecond)}/s"));
        return peers.Count > NamedPeers ? $"{named}, {peers.Count - NamedPeers} more" : named;
    }

    private static string Text(Rate rate) => $"{Si(rate.Packets)} packets/s {Si(rate.Bits, "bit/s")}";

    /// <summary>Likewise, with a unit.</summary>
    internal static string Si(double value, string unit) => Si(value) is var text && char.IsAsciiLetter(text[^1]) ? text + unit : $"{text} {unit}";

    /// <summary>Three digits and a decimal prefix.</summary>
    internal static string Si(double value)
    {
        int unit = 0;
        while (value >= 999.5 && unit < Units.Length - 1)
        {
            value /= 1000;
            unit++;
        }
        string format = value >= 99.95 || (unit == 0 && value == Math.Floor(value)) ? "0" : value >= 9.995 ? "0.0" : "0.00";
        return $"{value.ToString(format, CultureInfo.InvariantCulture)} {Units[unit]}".TrimEnd();
    }
}
