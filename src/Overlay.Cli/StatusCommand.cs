using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary><c>overlay status</c>, <c>overlay peers</c> and <c>overlay routes</c>: the daemon's status or a part of it, as tables or as JSON.</summary>
internal static class StatusCommand
{
    /// <summary>A million routes are some hundred megabytes.</summary>
    private static readonly TimeSpan RoutesDeadline = TimeSpan.FromMinutes(2);

    public static Command Create(TextWriter output, TextWriter errors) =>
        Create("status", "Print node, underlay, segments, counters, peers and routes.", output, (socket, json, to, cancellation) => RunAsync(socket, json, to, errors, cancellation));

    public static Command CreatePeers(TextWriter output, TextWriter errors) =>
        Create("peers", "Print the other nodes and the traffic with each.", output, (socket, json, to, cancellation) => PeersAsync(socket, json, to, errors, cancellation));

    public static Command CreateRoutes(TextWriter output, TextWriter errors) =>
        Create("routes", "Print the inner prefixes, what is done with them, who says so, and why that is in force.", output, (socket, json, to, cancellation) => RoutesAsync(socket, json, to, errors, cancellation));

    /// <returns>0 when the status was printed, 1 when the daemon could not be asked.</returns>
    public static Task<int> RunAsync(string socket, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation) =>
        RunAsync(socket, asJson, status => status, StatusJson.Default.StatusDocument, StatusReport.Write, output, errors, cancellation);

    /// <inheritdoc cref="RunAsync(string, bool, TextWriter, TextWriter, CancellationToken)"/>
    public static Task<int> PeersAsync(string socket, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation) =>
        RunAsync(socket, asJson, status => status.Peers, StatusJson.Default.IReadOnlyListPeerStatus, StatusReport.WritePeers, output, errors, cancellation);

    /// <inheritdoc cref="RunAsync(string, bool, TextWriter, TextWriter, CancellationToken)"/>
    public static Task<int> RoutesAsync(string socket, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation) =>
        RunAsync(
            socket, asJson, (client, deadline) => client.GetRoutesAsync(deadline), StatusJson.Default.RouteListDocument,
            (list, to) => StatusReport.WriteRoutes(list.Routes, to), output, errors, RoutesDeadline, cancellation);

    private static Command Create(string name, string description, TextWriter output, Func<string, bool, TextWriter, CancellationToken, Task<int>> run)
    {
        var command = new Command(name, description);
        LocalApiCommand.SetListing(command, output, run);
        return command;
    }

    private static Task<int> RunAsync<T>(
        string socket, bool asJson, Func<StatusDocument, T> choose, JsonTypeInfo<T> type, Action<T, TextWriter> write, TextWriter output,
        TextWriter errors, CancellationToken cancellation) => RunAsync(
            socket, asJson, async (client, deadline) => choose(await client.GetStatusAsync(deadline).ConfigureAwait(false)), type, write, output, errors,
            LocalApiCommand.DefaultDeadline, cancellation);

    private static Task<int> RunAsync<T>(
        string socket, bool asJson, Func<LocalApiClient, CancellationToken, Task<T>> ask, JsonTypeInfo<T> type, Action<T, TextWriter> write,
        TextWriter output, TextWriter errors, TimeSpan most, CancellationToken cancellation) => LocalApiCommand.AskAsync(socket, async (client, deadline) =>
        {
            T chosen = await ask(client, deadline).ConfigureAwait(false);
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(chosen, type)).ConfigureAwait(false);
            else write(chosen, output);
        }, errors, cancellation, within: most);
}
