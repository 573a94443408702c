using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay route get</c>: where the daemon sends packets to an address, by the table that packets are looked up in.</summary>
internal static class RouteCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        var address = new Argument<IPAddress>("ADDRESS") { Description = "Inner destination, IPv4 or IPv6.", CustomParser = ParseAddress };
        var segment = new Option<string?>("--segment") { Description = "The only segment to look in; default: all.", HelpName = "NAME" };
        Option<bool> json = LocalApiCommand.JsonOption();
        Option<string> socket = LocalApiCommand.SocketOption();
        var get = new Command("get", "Print the route that packets to an address take; ends with 1 where there is none.") { address, segment, json, socket };
        get.SetAction((parsed, cancellation) => GetAsync(
            parsed.GetValue(socket)!, parsed.GetValue(address)!, parsed.GetValue(segment), parsed.GetValue(json), output, errors, cancellation));
        return new Command("route", "Ask for single routes.") { get };
    }

    /// <returns>0 when a segment has a route, 1 when none has or the daemon could not be asked.</returns>
    public static async Task<int> GetAsync(
        string socket, IPAddress address, string? segment, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        bool isRouted = false;
        int code = await LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation).ConfigureAwait(false);
        return isRouted ? code : 1;

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            RouteLookupDocument found = await client.GetRouteAsync(address, segment, deadline).ConfigureAwait(false);
            isRouted = found.Matches.Count > 0;
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(found, StatusJson.Default.RouteLookupDocument)).ConfigureAwait(false);
            else if (isRouted) Write(found, output);
            if (isRouted) return;
            await errors.WriteLineAsync($"overlay: no route to {found.Address}{(segment is null ? "" : $" in segment {segment}")}").ConfigureAwait(false);
        }
    }

    private static void Write(RouteLookupDocument found, TextWriter output)
    {
        var table = new TextTable(TextTable.Text("PREFIX"), TextTable.Text("PEER"), TextTable.Text("SEGMENT"), TextTable.Text("ENDPOINT"));
        foreach (RouteMatch match in found.Matches) table.Add(match.Prefix, match.Peer, match.Segment, match.Endpoint);
        table.Write(output);
    }

    // The platform's parser also takes 10.1, scopes, brackets and ports.
    private static IPAddress? ParseAddress(ArgumentResult argument)
    {
        string text = argument.Tokens[0].Value;
        if (text.All(letter => char.IsAsciiHexDigit(letter) || letter is '.' or ':') && IPAddress.TryParse(text, out IPAddress? address)
            && (address.AddressFamily == AddressFamily.InterNetwork ? address.ToString() == text : !address.IsIPv4MappedToIPv6)) return address;
        argument.AddError($"'{text}' is no IP address; write it as 192.0.2.1 or 2001:db8::1");
        return null;
    }
}
