using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Overlay.Cli.Shell;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay route get</c>: where the daemon sends packets to an address, by the table that packets are looked up in.</summary>
internal static class RouteCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        var address = new Argument<IPAddress>("ADDRESS") { Description = "Inner destination, IPv4 or IPv6.", CustomParser = ParseAddress };
        var from = new Option<IPAddress?>("--from") { Description = "Inner source: which of several peers the flow goes to.", HelpName = "ADDRESS", CustomParser = ParseAddress };
        var protocol = new Option<byte?>("--protocol") { Description = "tcp, udp, icmp or a number; default: icmp, as of ping.", HelpName = "NAME", CustomParser = ParseProtocol };
        var sourcePort = new Option<ushort?>("--source-port") { Description = "Of TCP and UDP.", HelpName = "PORT" };
        var destinationPort = new Option<ushort?>("--destination-port") { Description = "Of TCP and UDP.", HelpName = "PORT" };
        var segment = new Option<string?>("--segment") { Description = "The only segment to look in; default: all.", HelpName = "NAME" };
        Option<bool> json = LocalApiCommand.JsonOption();
        Option<string> socket = LocalApiCommand.SocketOption();
        protocol.CompletionSources.Add("tcp", "udp", "icmp");
        KnownNames.OfferSegments(segment, socket);
        var get = new Command("get", "Print the route that packets to an address take, and why; ends with 1 where there is none.")
        {
            address, from, protocol, sourcePort, destinationPort, segment, json, socket,
        };
        get.SetAction((parsed, cancellation) => GetAsync(
            parsed.GetValue(socket)!,
            new RouteQuestion(parsed.GetValue(address)!)
            {
                From = parsed.GetValue(from),
                Protocol = parsed.GetValue(protocol),
                SourcePort = parsed.GetValue(sourcePort),
                DestinationPort = parsed.GetValue(destinationPort),
                Segment = parsed.GetValue(segment),
            },
            parsed.GetValue(json), output, errors, cancellation));
        return new Command("route", "Ask for single routes.") { get };
    }

    /// <returns>0 when a segment has a route, 1 when none has or the daemon could not be asked.</returns>
    public static async Task<int> GetAsync(
        string socket, RouteQuestion question, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        bool isRouted = false;
        int code = await LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation).ConfigureAwait(false);
        return isRouted ? code : 1;

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            RouteLookupDocument found = await client.GetRouteAsync(question, deadline).ConfigureAwait(false);
            isRouted = found.Matches.Count > 0;
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(found, StatusJson.Default.RouteLookupDocument)).ConfigureAwait(false);
            else if (isRouted) Write(found, output);
            if (isRouted) return;
            await errors.WriteLineAsync($"overlay: no route to {found.Address}{(question.Segment is null ? "" : $" in segment {question.Segment}")}").ConfigureAwait(false);
        }
    }

    private static void Write(RouteLookupDocument found, TextWriter output)
    {
        var table = new TextTable(
            TextTable.Text("PREFIX"), TextTable.Text("PEER"), TextTable.Text("SEGMENT").Yields(1), TextTable.Text("ENDPOINT"), TextTable.Text("WAY").Yields(2),
            TextTable.Number("MTU"), TextTable.Text("SOURCE"), TextTable.Number("PRIORITY").Yields(3), TextTable.Number("METRIC").Yields(4), TextTable.Text("WHY"));
        foreach (RouteMatch match in found.Matches)
        {
            RouteStatus route = match.Route;
            table.Add(
                route.Prefix, match.Peer ?? route.To, route.Segment, match.Endpoint ?? "-", match.WayOut,
                match.Mtu?.ToString(CultureInfo.InvariantCulture) ?? "-", SourceOf(route), Number(route.Priority), Number(route.Metric), route.Reason);
        }
        table.Write(output);
        foreach (RouteStatus other in found.Matches.SelectMany(match => match.Others))
            output.WriteLine($"  not in force: {other.Prefix} to {other.To} ({SourceOf(other)}): {other.Reason}");
    }

    internal static string SourceOf(RouteStatus route) => route.Line is { } line ? $"{route.Source} line {Number(line)}" : route.Source;

    internal static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);

    internal static IPAddress? ParseAddress(ArgumentResult argument)
    {
        string text = argument.Tokens[0].Value;
        if (TryParseAddress(text, out IPAddress? address)) return address;
        argument.AddError(NoAddress(text));
        return null;
    }

    // The platform's parser also takes 10.1, scopes, brackets and ports.
    internal static bool TryParseAddress(string text, [NotNullWhen(true)] out IPAddress? address)
    {
        address = null;
        return text.All(letter => char.IsAsciiHexDigit(letter) || letter is '.' or ':') && IPAddress.TryParse(text, out address)
            && (address.AddressFamily == AddressFamily.InterNetwork ? address.ToString() == text : !address.IsIPv4MappedToIPv6);
    }

    internal static string NoAddress(string text) => $"'{text}' is no IP address; write it as 192.0.2.1 or 2001:db8::1";

    internal static byte? ParseProtocol(ArgumentResult argument)
    {
        string text = argument.Tokens[0].Value;
        switch (text)
        {
            case "icmp": return null;
            case "tcp": return 6;
            case "udp": return 17;
            default:
                if (byte.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out byte number)) return number;
                argument.AddError($"'{text}' is no protocol; write tcp, udp, icmp or a number from 0 to 255");
                return null;
        }
    }
}
