using System.CommandLine;
using System.CommandLine.Completions;
using Overlay.Rpc;

namespace Overlay.Cli.Shell;

/// <summary>Offers a shell the names that a daemon knows; none where it does not answer.</summary>
internal static class KnownNames
{
    public static void OfferPeers(Option option, Option<string> socket) => Offer(option.CompletionSources, socket, async (client, deadline) =>
        (await client.GetStatusAsync(deadline).ConfigureAwait(false)).Peers.Select(peer => peer.Name));

    public static void OfferSegments(Option option, Option<string> socket) => Offer(option.CompletionSources, socket, async (client, deadline) =>
        (await client.GetStatusAsync(deadline).ConfigureAwait(false)).Segments.Select(segment => segment.Name));

    /// <summary>The ends of pods on this host.</summary>
    public static void OfferInterfaces(Option option, Option<string> socket) => Offer(option.CompletionSources, socket, async (client, deadline) =>
        (await client.GetPodsAsync(deadline).ConfigureAwait(false)).Pods.Select(pod => pod.HostInterface));

    public static void OfferPods(Argument argument, Option<string> socket) => Offer(argument.CompletionSources, socket, async (client, deadline) =>
        (await client.GetPodsAsync(deadline).ConfigureAwait(false)).Pods.Where(pod => !string.IsNullOrEmpty(pod.Name))
            .Select(pod => string.IsNullOrEmpty(pod.Namespace) ? pod.Name! : $"{pod.Namespace}/{pod.Name}"));

    private static void Offer(
        List<Func<CompletionContext, IEnumerable<CompletionItem>>> sources, Option<string> socket, Func<LocalApiClient, CancellationToken, Task<IEnumerable<string>>> ask) =>
        sources.Add(context =>
        {
            using var deadline = new CancellationTokenSource(LocalApiCommand.DefaultDeadline);
            try
            {
                using var client = new LocalApiClient(context.ParseResult.GetValue(socket) ?? LocalApi.DefaultSocket);
                IEnumerable<string> names = Task.Run(() => ask(client, deadline.Token)).GetAwaiter().GetResult();
                return names.Distinct().Order(StringComparer.Ordinal).Select(name => new CompletionItem(name));
            }
            catch (Exception exception) when (exception is LocalApiException or OperationCanceledException)
            {
                return [];
            }
        });
}
