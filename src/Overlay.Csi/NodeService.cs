using Google.Protobuf.Reflection;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;

namespace Overlay.Csi;

/// <summary>What this node is.</summary>
internal sealed class NodeService(CsiOptions options)
{
    public void AddTo(GrpcRoutes routes)
    {
        var service = CsiReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Node");
        routes
            .Unary(
                new GrpcMethod<NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse>(service, "NodeGetCapabilities"),
                (_, _) => Task.FromResult(new NodeGetCapabilitiesResponse()))
            .Unary(new GrpcMethod<NodeGetInfoRequest, NodeGetInfoResponse>(service, "NodeGetInfo"), (_, _) => Task.FromResult(new NodeGetInfoResponse
            {
                NodeId = options.NodeId,
                AccessibleTopology = new Topology { Segments = { [options.TopologyKey] = options.NodeId } },
            }));
    }
}
