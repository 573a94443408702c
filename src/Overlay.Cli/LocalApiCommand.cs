using System.CommandLine;
using Overlay.Cli.Terminals;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary>What commands that ask the daemon have in common.</summary>
internal static class LocalApiCommand
{
    public static readonly TimeSpan DefaultDeadline = TimeSpan.FromSeconds(5);

    public static Option<string> SocketOption() => new("--socket")
    {
        Description = "Unix socket of the daemon.",
        HelpName = "PATH",
        DefaultValueFactory = _ => LocalApi.DefaultSocket,
    };

    public static Option<bool> JsonOption() => new("--json") { Description = "Print the daemon's answer as JSON." };

    /// <summary>Makes a command one that prints a part of what the daemon knows: as a table or as JSON, once or again and again.</summary>
    /// <param name="command">Gets its options and its action.</param>
    /// <param name="output">Where it is printed.</param>
    /// <param name="run">Given the socket, whether as JSON, where to print, and an end.</param>
    public static void SetListing(Command command, TextWriter output, Func<string, bool, TextWriter, CancellationToken, Task<int>> run)
    {
        Option<bool> json = JsonOption();
        Option<double?> watch = Repeat.Option();
        Option<string> socket = SocketOption();
        command.Options.Add(json);
        command.Options.Add(watch);
        command.Options.Add(socket);
        command.SetAction((parsed, cancellation) => Repeat.RunAsync(
            parsed.GetValue(watch), output, (to, end) => run(parsed.GetValue(socket)!, parsed.GetValue(json), to, end), cancellation));
    }

    /// <summary>Asks the daemon and prints, within five seconds unless another deadline is given.</summary>
    /// <returns>0 when the answer was printed, 1 when the daemon could not be asked.</returns>
    public static async Task<int> AskAsync(
        string socket, Func<LocalApiClient, CancellationToken, Task> ask, TextWriter errors, CancellationToken cancellation, string daemon = "overlayd",
        TimeSpan? within = null)
    {
        TimeSpan most = within ?? DefaultDeadline;
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(most);
        try
        {
            using var client = new LocalApiClient(socket, daemon);
            await ask(client, deadline.Token).ConfigureAwait(false);
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
                $"overlay: {daemon} at {socket} did not answer within {most.TotalSeconds:0} s; see its log").ConfigureAwait(false);
            return 1;
        }
    }
}
