using System.Security.Cryptography.X509Certificates;

namespace Overlay.Rpc.Grpc;

/// <summary>What a handler may know of the call it serves.</summary>
/// <param name="Method">Path of the method.</param>
/// <param name="ClientCertificate">Certificate that the client proved to hold; null without TLS or where none was asked for.</param>
/// <param name="Deadline">When the client gives up, in UTC; null where it never does.</param>
/// <param name="Cancellation">Cancelled when the client hangs up or its deadline passes. Handlers end soon after.</param>
public sealed record GrpcCall(string Method, X509Certificate2? ClientCertificate, DateTimeOffset? Deadline, CancellationToken Cancellation)
{
    internal Action<GrpcException>? Ending { get; init; }

    /// <summary>Cancels the call with a reason that the client is told, however the handler ends. Any thread may, until the handler has ended.</summary>
    public void End(GrpcException reason) => Ending?.Invoke(reason);
}
