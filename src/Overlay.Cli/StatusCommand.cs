using System.CommandLine;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay status</c>: what the daemon on this node does, as tables or as the JSON it answered.</summary>
internal static class StatusCommand
{
    public static Command Create(TextWriter output, TextWriter errors)
    {
        var json = new Option<bool>("--json") { Description = "Print the daemon's answer as JSON." };
        Option<string> socket = LocalApiCommand.SocketOption();
        var command = new Command("status", "Print node, underlay, segments, counters, peers and routes.") { json, socket };
        command.SetAction((parsed, cancellation) =>
            RunAsync(parsed.GetValue(socket)!, parsed.GetValue(json), output, errors, cancellation));
        return command;
    }

    /// <returns>0 when the status was printed, 1 when the daemon could not be asked.</returns>
    public static async Task<int> RunAsync(
        string socket, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        return await LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation).ConfigureAwait(false);

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            StatusDocument status = await client.GetStatusAsync(deadline).ConfigureAwait(false);
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(status, StatusJson.Default.StatusDocument)).ConfigureAwait(false);
            else StatusReport.Write(status, output);
        }
    }
}
