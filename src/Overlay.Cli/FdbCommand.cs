using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Overlay.Cli.Shell;
using Overlay.Cli.Terminals;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay fdb</c>: where the MAC addresses of bridged segments are, and who has which IP address.</summary>
internal static class FdbCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        Option<bool> json = LocalApiCommand.JsonOption();
        Option<double?> watch = Repeat.Option();
        Option<string> socket = LocalApiCommand.SocketOption();
        var segment = new Option<string>("--segment") { Description = "Only this segment.", HelpName = "NAME" };
        KnownNames.OfferSegments(segment, socket);
        var command = new Command("fdb", "Print where the MAC addresses of bridged segments are, and the neighbours that are answered for.") { json, watch, segment, socket };
        command.SetAction((parsed, cancellation) => Repeat.RunAsync(
            parsed.GetValue(watch), output,
            (to, end) => RunAsync(parsed.GetValue(socket)!, parsed.GetValue(segment), parsed.GetValue(json), to, errors, end), cancellation));
        return command;
    }

    /// <returns>0 when the list was printed, 1 when the daemon could not be asked or has no such segment.</returns>
    public static async Task<int> RunAsync(
        string socket, string? segment, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        bool unknown = false;
        int code = await LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation).ConfigureAwait(false);
        return unknown ? 1 : code;

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            FdbDocument fdb = await client.GetFdbAsync(deadline).ConfigureAwait(false);
            if (segment is not null && !fdb.Segments.Contains(segment))
            {
                unknown = true;
                string known = fdb.Segments.Count == 0 ? "none is" : $"bridged are: {string.Join(", ", fdb.Segments)}";
                await errors.WriteLineAsync($"overlay: no segment '{segment}' is bridged; {known}").ConfigureAwait(false);
                return;
            }
            if (segment is not null)
            {
                fdb = fdb with
                {
                    Segments = [segment],
                    Entries = [.. fdb.Entries.Where(entry => entry.Segment == segment)],
                    Neighbours = [.. fdb.Neighbours.Where(entry => entry.Segment == segment)],
                };
            }
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(fdb, StatusJson.Default.FdbDocument)).ConfigureAwait(false);
            else Write(fdb, output);
        }
    }

    private static void Write(FdbDocument fdb, TextWriter output)
    {
        if (fdb.Segments.Count == 0)
        {
            output.WriteLine("no segment is bridged");
            return;
        }
        output.WriteLine("MAC ADDRESSES");
        var table = new TextTable(
            TextTable.Text("SEGMENT"), TextTable.Text("MAC"), TextTable.Text("PEER"), TextTable.Text("KIND"), TextTable.Number("AGE"));
        foreach (FdbEntry entry in fdb.Entries)
            table.Add(entry.Segment, entry.Mac, entry.Peer ?? "(this node)", entry.Kind, Age(entry.AgeSeconds));
        table.Write(output);
        output.WriteLine();
        output.WriteLine("NEIGHBOURS");
        if (fdb.Neighbours.Count == 0)
        {
            output.WriteLine("  none");
            return;
        }
        var neighbours = new TextTable(
            TextTable.Text("SEGMENT"), TextTable.Text("ADDRESS"), TextTable.Text("MAC"), TextTable.Text("KIND"), TextTable.Number("AGE"), TextTable.Text("ANSWERED FOR"));
        foreach (NeighbourEntry entry in fdb.Neighbours)
        {
            neighbours.Add(
                entry.Segment, entry.Address, entry.Router ? $"{entry.Mac} (router)" : entry.Mac, entry.Kind, Age(entry.AgeSeconds), entry.Answered ? "yes" : "no");
        }
        neighbours.Write(output);
    }

    private static string Age(double? seconds) => seconds is { } age ? age.ToString("0.0", CultureInfo.InvariantCulture) + " s" : "-";
}
