using System.CommandLine;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay status</c>: what the daemon on this node does, as tables or as the JSON it answered.</summary>
internal static class StatusCommand
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);

    public static Command Create(TextWriter output, TextWriter errors)
    {
        var json = new Option<bool>("--json") { Description = "Print the daemon's answer as JSON." };
        var socket = new Option<string>("--socket")
        {
            Description = "Unix socket of the daemon.",
            HelpName = "PATH",
            DefaultValueFactory = _ => LocalApi.DefaultSocket,
        };
        var command = new Command("status", "Print node, underlay, segments, counters, peers and routes.") { json, socket };
        command.SetAction((parsed, cancellation) =>
            RunAsync(parsed.GetValue(socket)!, parsed.GetValue(json), output, errors, cancellation));
        return command;
    }

    /// <returns>0 when the status was printed, 1 when the daemon could not be asked.</returns>
    public static async Task<int> RunAsync(
        string socket, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Deadline);
        try
        {
            using var client = new LocalApiClient(socket);
            StatusDocument status = await client.GetStatusAsync(deadline.Token).ConfigureAwait(false);
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(status, StatusJson.Default.StatusDocument)).ConfigureAwait(false);
            else StatusReport.Write(status, output);
            return 0;
        }
        catch (LocalApiException exception)
        {
            await errors.WriteLineAsync($"overlay: {exception.Message}").ConfigureAwait(false);
            return 1;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            await errors.WriteLineAsync(
                $"overlay: overlayd at {socket} did not answer within {Deadline.TotalSeconds:0} s; see its log").ConfigureAwait(false);
            return 1;
        }
    }
}
