using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay fdb</c>: where the MAC addresses of bridged segments are.</summary>
internal static class FdbCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        Option<bool> json = LocalApiCommand.JsonOption();
        Option<string> socket = LocalApiCommand.SocketOption();
        var segment = new Option<string>("--segment") { Description = "Only this segment.", HelpName = "NAME" };
        var command = new Command("fdb", "Print where the MAC addresses of bridged segments are.") { json, segment, socket };
        command.SetAction((parsed, cancellation) =>
            RunAsync(parsed.GetValue(socket)!, parsed.GetValue(segment), parsed.GetValue(json), output, errors, cancellation));
        return command;
    }

    /// <returns>0 when the list was printed, 1 when the daemon could not be asked.</returns>
    public static Task<int> RunAsync(
        string socket, string? segment, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        return LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation);

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            FdbDocument fdb = await client.GetFdbAsync(deadline).ConfigureAwait(false);
            if (segment is not null) fdb = fdb with { Entries = [.. fdb.Entries.Where(entry => entry.Segment == segment)] };
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(fdb, StatusJson.Default.FdbDocument)).ConfigureAwait(false);
            else Write(fdb, output);
        }
    }

    private static void Write(FdbDocument fdb, TextWriter output)
    {
        if (fdb.Entries.Count == 0)
        {
            output.WriteLine("no MAC address is known");
            return;
        }
        var table = new TextTable(
            TextTable.Text("SEGMENT"), TextTable.Text("MAC"), TextTable.Text("PEER"), TextTable.Text("KIND"), TextTable.Number("AGE"));
        foreach (FdbEntry entry in fdb.Entries)
        {
            string age = entry.AgeSeconds is { } seconds ? seconds.ToString("0.0", CultureInfo.InvariantCulture) + " s" : "-";
            table.Add(entry.Segment, entry.Mac, entry.Peer ?? "(this node)", entry.Kind, age);
        }
        table.Write(output);
    }
}
