namespace Overlay.Rpc.Grpc;

/// <summary>
/// A call that ended with a status other than OK. Thrown by a handler it becomes the answer; thrown by <see cref="GrpcChannel"/> it is the
/// answer, or tells why none came.
/// </summary>
public sealed class GrpcException(GrpcStatusCode status, string message, Exception? cause = null) : Exception(message, cause)
{
    public GrpcStatusCode Status { get; } = status;
}
