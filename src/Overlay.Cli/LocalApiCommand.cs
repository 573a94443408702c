using System.CommandLine;
using Overlay.Rpc;

namespace Overlay.Cli;

/// <summary>What commands that ask the daemon have in common.</summary>
internal static class LocalApiCommand
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);

    public static Option<string> SocketOption() => new("--socket")
    {
        Description = "Unix socket of the daemon.",
        HelpName = "PATH",
        DefaultValueFactory = _ => LocalApi.DefaultSocket,
    };

    public static Option<bool> JsonOption() => new("--json") { Description = "Print the daemon's answer as JSON." };

    /// <summary>Asks the daemon and prints, within five seconds.</summary>
    /// <returns>0 when the answer was printed, 1 when the daemon could not be asked.</returns>
    public static async Task<int> AskAsync(
        string socket, Func<LocalApiClient, CancellationToken, Task> ask, TextWriter errors, CancellationToken cancellation, string daemon = "overlayd")
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Deadline);
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
                $"overlay: {daemon} at {socket} did not answer within {Deadline.TotalSeconds:0} s; see its log").ConfigureAwait(false);
            return 1;
        }
    }
}
