using System.Collections;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi;

/// <summary>The sizes that CSI sets to the fields of all requests: strings 128 bytes, maps and lists of strings 4 KiB; paths have a limit of their own.</summary>
internal static class FieldLimits
{
    private const int StringBytes = 128;
    private const int CollectionBytes = 4096;

    /// <summary>Offers a method whose requests are checked first.</summary>
    public static GrpcRoutes Checked<TRequest, TResponse>(
        this GrpcRoutes routes, GrpcMethod<TRequest, TResponse> method, Func<TRequest, GrpcCall, Task<TResponse>> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        routes.Unary(method, (request, call) =>
        {
            Check(request);
            return handler(request, call);
        });

    /// <exception cref="GrpcException">INVALID_ARGUMENT: a field is larger than CSI allows; its value is not repeated.</exception>
    public static void Check(IMessage message)
    {
        foreach (FieldDescriptor field in message.Descriptor.Fields.InDeclarationOrder())
        {
            object? value = field.Accessor.GetValue(message);
            if (value is string text)
            {
                if (!field.Name.EndsWith("_path", StringComparison.Ordinal)) Check(field, BytesOf(text), StringBytes);
            }
            else if (value is IDictionary map)
            {
                Check(field, map.Keys.OfType<string>().Sum(BytesOf) + map.Values.OfType<string>().Sum(BytesOf), CollectionBytes);
            }
            else if (value is IList list)
            {
                Check(field, list.OfType<string>().Sum(BytesOf), CollectionBytes);
                foreach (IMessage item in list.OfType<IMessage>()) Check(item);
            }
            else if (value is IMessage inner)
            {
                Check(inner);
            }
        }
    }

    private static int BytesOf(string text) => Encoding.UTF8.GetByteCount(text);

    private static void Check(FieldDescriptor field, int bytes, int most)
    {
        if (bytes > most) throw new GrpcException(GrpcStatusCode.InvalidArgument, $"{field.Name} has {bytes} bytes: CSI allows {most}");
    }
}
