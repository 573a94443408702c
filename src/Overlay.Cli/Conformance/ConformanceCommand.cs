using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Overlay.Cli.Shell;
using Overlay.Cli.Terminals;

namespace Overlay.Cli.Conformance;

/// <summary><c>overlay conformance</c>: two ends that prove what the network between them promises, and measure what it costs.</summary>
internal static class ConformanceCommand
{
    /// <summary>Exit status where a check failed.</summary>
    public const int NotConforming = 2;

    private const double DefaultSeconds = 2;
    private const int DefaultRounds = 3;

    public static Command Create(TextWriter output, TextWriter errors) => new("conformance", "Prove between two nodes what a network of pods promises, and measure what it costs.")
    {
        CreateServe(output, errors), CreateRun(output, errors),
    };

    private static Option<int> PortOption() => new("--port")
    {
        Description = "TCP and UDP port of the servers.",
        HelpName = "PORT",
        DefaultValueFactory = _ => Exchange.DefaultPort,
        CustomParser = argument =>
        {
            if (ushort.TryParse(argument.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) && port > 0) return port;
            argument.AddError($"'{argument.Tokens[0].Value}' is no port; give a number from 1 to 65535");
            return 0;
        },
    };

    private static Command CreateServe(TextWriter output, TextWriter errors)
    {
        var listen = new Option<IPAddress[]>("--listen")
        {
            Description = "Address to listen on; may be repeated; default: all.",
            HelpName = "ADDRESS",
            Arity = ArgumentArity.OneOrMore,
            CustomParser = ParseAddresses,
            DefaultValueFactory = _ => [IPAddress.Any, IPAddress.IPv6Any],
        };
        Option<int> port = PortOption();
        var command = new Command("serve", "Be the other end: in a pod of another node, and for a comparison outside pods of both nodes. Serves anybody until interrupted.") { listen, port };
        command.SetAction((parsed, cancellation) => ServeAsync(parsed.GetValue(listen)!, parsed.GetValue(port), output, errors, cancellation));
        return command;
    }

    private static Command CreateRun(TextWriter output, TextWriter errors)
    {
        var peer = new Option<IPAddress[]>("--peer")
        {
            Description = "Address of a server in a pod of another node; once for IPv4 and once for IPv6.",
            HelpName = "ADDRESS",
            Required = true,
            Arity = ArgumentArity.OneOrMore,
            CustomParser = ParseAddresses,
        };
        var node = new Option<IPAddress?>("--node") { Description = "Address of a server on this node, outside pods.", HelpName = "ADDRESS", CustomParser = RouteCommand.ParseAddress };
        var underlay = new Option<IPAddress?>("--underlay")
        {
            Description = "Underlay address of the other node, with a server outside pods, to compare with; measured from --node where that is given.",
            HelpName = "ADDRESS",
            CustomParser = RouteCommand.ParseAddress,
        };
        var seconds = new Option<double>("--seconds") { Description = "Of each measurement of throughput; default: 2.", HelpName = "N", DefaultValueFactory = _ => DefaultSeconds, CustomParser = Repeat.ParseSeconds };
        var rounds = new Option<int>("--rounds") { Description = "Measurements, overlay and underlay in turn, of which the median counts; default: 3; 0: none.", HelpName = "N", DefaultValueFactory = _ => DefaultRounds };
        var html = new Option<string?>("--html") { Description = "Also write the report as a page that needs nothing else.", HelpName = "FILE" };
        Option<bool> json = LocalApiCommand.JsonOption();
        json.Description = "Print the report as JSON.";
        Option<int> port = PortOption();
        var command = new Command("run", "Check and measure the way to a server, and report; ends with 2 where a check failed. Run it in a pod, as root.") { peer, node, underlay, seconds, rounds, html, json, port };
        command.Validators.Add(result =>
        {
            if (result.GetValue(rounds) is < 0 or > 100) result.AddError("--rounds is a number of measurements; give 0 to 100");
        });
        command.SetAction((parsed, cancellation) =>
        {
            int to = parsed.GetValue(port);
            var plan = new RunPlan(
                [.. parsed.GetValue(peer)!.Select(address => new IPEndPoint(address, to))],
                parsed.GetValue(node) is { } own ? new IPEndPoint(own, to) : null,
                parsed.GetValue(underlay) is { } bare ? new IPEndPoint(bare, to) : null,
                parsed.GetValue(seconds), parsed.GetValue(rounds));
            return RunAsync(plan, parsed.GetValue(html), parsed.GetValue(json), output, errors, cancellation);
        });
        return command;
    }

    private static async Task<int> ServeAsync(IPAddress[] addresses, int port, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        using var server = new Server();
        try
        {
            server.Listen(addresses, port);
        }
        catch (SocketException exception)
        {
            await errors.WriteLineAsync($"overlay: port {port} of {string.Join(", ", addresses.AsEnumerable())} cannot be had: {exception.Message}; give another --port, or an address of this host with --listen").ConfigureAwait(false);
            return 1;
        }
        if (server.Blindness is { } blindness) await errors.WriteLineAsync($"overlay: {blindness}").ConfigureAwait(false);
        await output.WriteLineAsync($"serving on port {port} of {string.Join(", ", addresses.AsEnumerable())}").ConfigureAwait(false);
        await output.FlushAsync(cancellation).ConfigureAwait(false);
        await server.RunAsync(cancellation).ConfigureAwait(false);
        return 0;
    }

    /// <returns>0 when every check passed or was skipped, <see cref="NotConforming"/> when one failed, 1 when there is nobody at the other end.</returns>
    public static async Task<int> RunAsync(RunPlan plan, string? html, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        var progress = new Progress(errors);
        try
        {
            ConformanceReport report = await new Run(plan, progress.Begin).ReportAsync(cancellation).ConfigureAwait(false);
            progress.End();
            if (html is not null) await File.WriteAllTextAsync(html, HtmlReport.Page(report), cancellation).ConfigureAwait(false);
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(report, ReportJson.Default.ConformanceReport)).ConfigureAwait(false);
            else TextReport.Write(report, output);
            return report.Failed > 0 ? NotConforming : 0;
        }
        catch (Exception exception) when (exception is SocketException or InvalidDataException)
        {
            progress.End();
            await errors.WriteLineAsync($"overlay: {exception.Message}; is 'overlay conformance serve' running there?").ConfigureAwait(false);
            return 1;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            progress.End();
            await errors.WriteLineAsync($"overlay: {html}: {Refusal.Cause(exception)}; give --html a path that can be written").ConfigureAwait(false);
            return 1;
        }
    }

    private static IPAddress[] ParseAddresses(ArgumentResult argument)
    {
        var addresses = new List<IPAddress>();
        foreach (Token token in argument.Tokens)
        {
            if (RouteCommand.TryParseAddress(token.Value, out IPAddress? address)) addresses.Add(address);
            else argument.AddError(RouteCommand.NoAddress(token.Value));
        }
        return [.. addresses];
    }
}

/// <summary>What to run.</summary>
/// <param name="Seconds">Of each measurement of throughput.</param>
internal sealed record RunPlan(IReadOnlyList<IPEndPoint> Peers, IPEndPoint? Node, IPEndPoint? Underlay, double Seconds, int Rounds);
