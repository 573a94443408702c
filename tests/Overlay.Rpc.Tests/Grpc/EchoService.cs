using System.Runtime.CompilerServices;
using Google.Protobuf.Reflection;
using Overlay.Rpc.Grpc;

namespace Overlay.Rpc.Tests.Grpc;

/// <summary>The service of the tests: what it does depends on the text it is sent.</summary>
internal sealed class EchoService
{
    private static readonly ServiceDescriptor Service = EchoReflection.Descriptor.Services.Single();
    private int _waiting;
    private int _cancelled;

    public static GrpcMethod<Line, Line> Say { get; } = new(Service, "Say");

    public static GrpcMethod<Line, Line> Count { get; } = new(Service, "Count");

    /// <summary>Calls that were told of the end of their client's interest.</summary>
    public int Cancelled => Volatile.Read(ref _cancelled);

    /// <summary>Calls that wait.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    public GrpcRoutes Routes() => new GrpcRoutes().Unary(Say, SayAsync).ServerStreaming(Count, (line, call) => CountAsync(line, call.Cancellation));

    private async Task<Line> SayAsync(Line line, GrpcCall call)
    {
        switch (line.Text)
        {
            case "fail":
                throw new GrpcException(GrpcStatusCode.FailedPrecondition, "größer als 100 %\n");
            case "bug":
                throw new InvalidOperationException("on purpose");
            case "wait":
                await WaitAsync(call.Cancellation).ConfigureAwait(false);
                return line;
            case "certificate":
                return new Line { Text = call.ClientCertificate?.Subject ?? "none" };
            case "deadline":
                return new Line { Text = $"{(call.Deadline - DateTimeOffset.UtcNow)?.TotalMilliseconds:F0}" };
            default:
                return line;
        }
    }

    private async IAsyncEnumerable<Line> CountAsync(Line line, [EnumeratorCancellation] CancellationToken cancellation)
    {
        for (int number = 1; number <= line.Number; number++)
        {
            yield return new Line { Text = line.Text, Number = number };
        }
        if (line.Text == "fail") throw new GrpcException(GrpcStatusCode.DataLoss, "nothing more");
        if (line.Text == "wait") await WaitAsync(cancellation).ConfigureAwait(false);
    }

    private async Task WaitAsync(CancellationToken cancellation)
    {
        Interlocked.Increment(ref _waiting);
        try
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellation).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            Interlocked.Increment(ref _cancelled);
            throw;
        }
    }
}
