using System.CommandLine;
using System.Globalization;
using System.Security.Authentication;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Overlay.Cli.Terminals;
using Overlay.Rpc;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;
using Overlay.Rpc.Security;

namespace Overlay.Cli.Control;

/// <summary>What commands that ask the controller have in common: where it is, how it is asked, how its answer is printed.</summary>
internal sealed class ControllerCommand
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private static readonly JsonFormatter Json = new(JsonFormatter.Settings.Default.WithFormatDefaultValues(true).WithIndentation());

    private static readonly ServiceDescriptor Service = ControlReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Administration");

    private readonly Option<string> _socket = new("--socket")
    {
        Description = "Unix socket of a controller on this host.",
        HelpName = "PATH",
        DefaultValueFactory = _ => ControllerApi.DefaultSocket,
    };

    private readonly Option<string?> _controller = new("--controller") { Description = "Controller to ask over TCP instead; port 7443 unless given.", HelpName = "HOST[:PORT]" };
    private readonly Option<string> _certificate = File("--certificate", "administrator's certificate", "/etc/overlay/admin.pem");
    private readonly Option<string> _key = File("--key", "its key", "/etc/overlay/admin.key");
    private readonly Option<string> _authority = File("--authority", "authorities that the controller is trusted by", "/etc/overlay/ca.pem");
    private readonly Option<bool> _json = new("--json") { Description = "Print the controller's answer as JSON." };
    private readonly Option<double?> _watch = Repeat.Option();
    private readonly Option<bool> _dryRun = new("--dry-run") { Description = "Say what would change, and change nothing." };
    private readonly TextWriter _output;
    private readonly TextWriter _errors;

    public ControllerCommand(TextWriter output, TextWriter errors)
    {
        _output = output;
        _errors = errors;
    }

    /// <summary>A command that asks for something and prints it.</summary>
    /// <param name="write">Prints the answer for people; its result is the exit code.</param>
    /// <param name="narrow">The part of the answer that is asked for, for programs; null: all of it.</param>
    public Command Ask<TRequest, TResponse>(
        string name, string description, Symbol[] symbols, string method, Func<ParseResult, TRequest> request, Func<ParseResult, TResponse, TextWriter, int> write,
        Func<ParseResult, TResponse, TResponse>? narrow = null)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() => Create(name, description, symbols, _watch, (parsed, cancellation) => Repeat.RunAsync(
            parsed.GetValue(_watch), _output, (to, end) => RunAsync(parsed, method, request(parsed), write, narrow, to, end), cancellation));

    /// <summary>A command that changes something.</summary>
    /// <param name="request">Made of the arguments, and whether it is a dry run.</param>
    public Command Change<TRequest>(string name, string description, Symbol[] symbols, string method, Func<ParseResult, bool, TRequest> request)
        where TRequest : class, IMessage<TRequest>, new() => Create(name, description, symbols, _dryRun, (parsed, cancellation) =>
        {
            bool dryRun = parsed.GetValue(_dryRun);
            return RunAsync<TRequest, ChangeResponse>(
                parsed, method, request(parsed, dryRun), (_, response, output) => ChangeReport.Write(response, dryRun, output), null, _output, cancellation);
        });

    private Command Create(string name, string description, Symbol[] symbols, Option own, Func<ParseResult, CancellationToken, Task<int>> run)
    {
        var command = new Command(name, description);
        foreach (Symbol symbol in symbols)
        {
            if (symbol is Argument argument) command.Arguments.Add(argument);
            else command.Options.Add((Option)symbol);
        }
        foreach (Option option in new[] { _json, own, _socket, _controller, _certificate, _key, _authority }) command.Options.Add(option);
        command.SetAction(run);
        return command;
    }

    private async Task<int> RunAsync<TRequest, TResponse>(
        ParseResult parsed, string method, TRequest request, Func<ParseResult, TResponse, TextWriter, int> write, Func<ParseResult, TResponse, TResponse>? narrow,
        TextWriter output, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        try
        {
            using GrpcChannel channel = Open(parsed);
            TResponse response = await channel.CallAsync(new GrpcMethod<TRequest, TResponse>(Service, method), request, Deadline, cancellation).ConfigureAwait(false);
            if (!parsed.GetValue(_json)) return write(parsed, response, output);
            await output.WriteLineAsync(Json.Format(narrow is null ? response : narrow(parsed, response))).ConfigureAwait(false);
            return write(parsed, response, TextWriter.Null);
        }
        catch (Exception exception) when (exception is GrpcException or TlsFileException or AuthenticationException)
        {
            await _errors.WriteLineAsync($"overlay: {Explain(parsed, exception)}").ConfigureAwait(false);
            return 1;
        }
    }

    private GrpcChannel Open(ParseResult parsed)
    {
        if (parsed.GetValue(_controller) is not { } controller) return GrpcChannel.ToSocket(parsed.GetValue(_socket)!);
        int colon = controller.LastIndexOf(':');
        bool hasPort = colon > 0 && (controller[..colon].Contains(']', StringComparison.Ordinal) || !controller[..colon].Contains(':', StringComparison.Ordinal));
        int port = ControllerApi.DefaultPort;
        if (hasPort && !int.TryParse(controller[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out port))
            throw new TlsFileException($"'{controller}' has no port number behind the colon; write it as controller.example:7443");
        string host = (hasPort ? controller[..colon] : controller).Trim('[', ']');
        return GrpcChannel.ToHost(host, port, new TlsFiles(parsed.GetValue(_certificate)!, parsed.GetValue(_key)!, parsed.GetValue(_authority)!).ForClient());
    }

    private string Explain(ParseResult parsed, Exception exception)
    {
        if (exception is not GrpcException { Status: GrpcStatusCode.Unavailable } || parsed.GetValue(_controller) is not null) return exception.Message;
        string socket = parsed.GetValue(_socket)!;
        return System.IO.File.Exists(socket) ? exception.Message : $"there is no socket {socket}; start overlay-controller, name its 'socket:' with --socket, or ask another host with --controller";
    }

    private static Option<string> File(string name, string what, string fallback) => new(name)
    {
        Description = $"With --controller: file of the {what}.",
        HelpName = "FILE",
        DefaultValueFactory = _ => fallback,
    };
}
