using System.CommandLine;
using System.CommandLine.Invocation;
using System.Text.Json;
using Overlay.Rpc;

namespace Overlay.Cli.Control;

/// <summary><c>overlay ipam check --daemon</c>: holds the addresses of this node's pods against records, interfaces, routes, filter and what is on disk.</summary>
internal static class NodeAddressCheck
{
    /// <summary>Adds the option to a command that asks the controller without it.</summary>
    public static Command Offer(Command check, TextWriter output, TextWriter errors)
    {
        var daemon = new Option<string?>("--daemon")
        {
            Description = $"Ask the daemon of this node, at this Unix socket ({LocalApi.DefaultSocket} unless given), about its pods' addresses instead.",
            HelpName = "PATH",
            Arity = ArgumentArity.ZeroOrOne,
        };
        check.Options.Add(daemon);
        var controller = (AsynchronousCommandLineAction)check.Action!;
        check.SetAction((parsed, cancellation) => parsed.GetResult(daemon) is null
            ? controller.InvokeAsync(parsed, cancellation)
            : RunAsync(parsed.GetValue(daemon) ?? LocalApi.DefaultSocket, parsed.GetValue<bool>("--json"), output, errors, cancellation));
        return check;
    }

    private static async Task<int> RunAsync(string socket, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        int problems = 0;
        int code = await LocalApiCommand.AskAsync(socket, PrintAsync, errors, cancellation).ConfigureAwait(false);
        return problems > 0 ? 1 : code;

        async Task PrintAsync(LocalApiClient client, CancellationToken deadline)
        {
            AddressCheckDocument found = await client.CheckAddressesAsync(deadline).ConfigureAwait(false);
            problems = found.Problems.Count;
            if (asJson)
            {
                await output.WriteLineAsync(JsonSerializer.Serialize(found, StatusJson.Default.AddressCheckDocument)).ConfigureAwait(false);
                return;
            }
            foreach (string problem in found.Problems) await output.WriteLineAsync($"  {problem}").ConfigureAwait(false);
            await output.WriteLineAsync(
                $"{found.Pods} pods, {found.Addresses} addresses: {(problems == 0 ? "no contradiction" : $"{problems} contradictions")}").ConfigureAwait(false);
        }
    }
}
