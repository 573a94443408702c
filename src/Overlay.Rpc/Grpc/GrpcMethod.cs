using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Overlay.Rpc.Grpc;

/// <summary>A method of a service: its path on the wire and its messages.</summary>
public sealed class GrpcMethod<TRequest, TResponse>
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    /// <param name="service">From the generated <c>…Reflection</c> class.</param>
    /// <param name="name">Name of the method within the service.</param>
    /// <exception cref="ArgumentException">The service has no such method, or it has other messages, or the client streams.</exception>
    public GrpcMethod(ServiceDescriptor service, string name)
    {
        MethodDescriptor method = service.FindMethodByName(name)
            ?? throw new ArgumentException($"{service.FullName} has no method {name}", nameof(name));
        if (method.InputType.ClrType != typeof(TRequest) || method.OutputType.ClrType != typeof(TResponse) || method.IsClientStreaming)
        {
            throw new ArgumentException(
                $"{method.FullName} takes {method.InputType.FullName} and returns {method.OutputType.FullName}; client streams are not offered",
                nameof(name));
        }
        Path = $"/{service.FullName}/{name}";
        IsServerStreaming = method.IsServerStreaming;
    }

    /// <summary><c>/package.Service/Method</c>.</summary>
    public string Path { get; }

    /// <summary>Any number of responses instead of exactly one.</summary>
    public bool IsServerStreaming { get; }

    internal MessageParser<TRequest> Requests { get; } = new(() => new TRequest());

    internal MessageParser<TResponse> Responses { get; } = new(() => new TResponse());
}
