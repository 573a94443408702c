using System.Net;
using Google.Protobuf.Reflection;
using Microsoft.Extensions.Logging;
using Overlay.Control.Ipam;
using Overlay.Control.Model;
using Overlay.Control.State;
using Overlay.Control.Stores;
using Overlay.Rpc.Control;
using Overlay.Rpc.Grpc;

namespace Overlay.Controller;

/// <summary>What administrators call.</summary>
internal sealed class AdministrationService(IControlStore store, StateCache cache, Callers callers, StoreCalls calls, ILogger log)
{
    private readonly NetworkChanges _networks = new(store, cache);
    private readonly NodeChanges _nodes = new(store, cache);

    public void AddTo(GrpcRoutes routes)
    {
        var service = ControlReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Administration");
        Change<CreateNetworkRequest>("CreateNetwork", request => request.DryRun, (request, end) => _networks.CreateAsync(request.Network, end));
        Change<AddPoolRequest>("AddPool", request => request.DryRun, (request, end) => _networks.AddPoolAsync(request.Network, request.Pool, end));
        Change<SetMtuRequest>("SetMtu", request => request.DryRun, (request, end) => _networks.SetMtuAsync(request.Network, request.Mtu, end));
        Change<DeleteNetworkRequest>("DeleteNetwork", request => request.DryRun, (request, end) => _networks.DeleteAsync(request.Name, request.Force, end));
        Change<DrainNodeRequest>("DrainNode", request => request.DryRun, (request, end) => _nodes.DrainAsync(request.Name, !request.Undo, end));
        Change<RemoveNodeRequest>("RemoveNode", request => request.DryRun, (request, end) => _nodes.RemoveAsync(request.Name, request.Force, end));
        Change<ReserveRequest>("Reserve", request => request.DryRun, (request, end) => _networks.ReserveAsync(request, end));
        Change<ReleaseReservationRequest>("ReleaseReservation", request => request.DryRun, (request, end) => _networks.ReleaseAsync(request, end));
        Change<AddRouteRequest>("AddRoute", request => request.DryRun, (request, end) => _networks.AddRouteAsync(request.Route, end));
        Change<DeleteRouteRequest>("DeleteRoute", request => request.DryRun, (request, end) => _networks.DeleteRouteAsync(request.Route, end));
        Ask<GetStateRequest, GetStateResponse>("GetState", _ => State());
        Ask<ShowPoolsRequest, ShowPoolsResponse>("ShowPools", ShowPools);
        Ask<WhoRequest, WhoResponse>("Who", request => AddressFindings.Of(cache, Requests.Parse<IPAddress>("address", request.Address, ConfigurationValues.UnicastAddress)));
        Ask<CheckRequest, CheckResponse>("Check", _ => Check());

        void Change<TRequest>(string name, Func<TRequest, bool> dryRun, Func<TRequest, CancellationToken, Task<ChangePlan>> plan)
            where TRequest : class, Google.Protobuf.IMessage<TRequest>, new()
        {
            routes.Unary(new GrpcMethod<TRequest, ChangeResponse>(service, name), (request, call) => calls.RunAsync(async () =>
            {
                callers.RequireAdministrator(call);
                ChangeResponse response = await ChangePlan.RunAsync(store, cache, dryRun(request), () => plan(request, call.Cancellation), call.Cancellation)
                    .ConfigureAwait(false);
                if (!dryRun(request)) log.LogInformation("{Method} by {Caller}: {Changes} changes, revision {Revision}", name, callers.NameOf(call), response.Changes.Count, response.Revision);
                return response;
            }));
        }

        void Ask<TRequest, TResponse>(string name, Func<TRequest, TResponse> answer)
            where TRequest : class, Google.Protobuf.IMessage<TRequest>, new()
            where TResponse : class, Google.Protobuf.IMessage<TResponse>, new()
        {
            routes.Unary(new GrpcMethod<TRequest, TResponse>(service, name), (request, call) =>
            {
                callers.RequireAdministrator(call);
                return Task.FromResult(answer(request));
            });
        }
    }

    private GetStateResponse State()
    {
        IReadOnlyList<NetworkDocument> networks = cache.Networks;
        return new GetStateResponse
        {
            Revision = cache.Revision,
            Store = store.Name,
            Networks = { networks.Select(StateMessages.Of) },
            Nodes = { cache.Nodes.Select(StateMessages.Of) },
            Blocks =
            {
                networks.SelectMany(network => cache.Blocks(network.Name)).OrderBy(block => block.Network, StringComparer.Ordinal)
                    .ThenBy(block => Wire.IpBits.V6OrMapped(IPNetwork.Parse(block.Prefix).BaseAddress)).Select(StateMessages.Of),
            },
            Reservations = { cache.List("state/reservations/").OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => StateMessages.Of(StateDocuments.Reservation(entry))) },
            Routes = { cache.List("state/routes/").OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => StateMessages.Of(StateDocuments.Route(entry))) },
        };
    }

    private ShowPoolsResponse ShowPools(ShowPoolsRequest request)
    {
        if (request.Network.Length > 0 && cache.Network(request.Network) is null)
            throw new GrpcException(GrpcStatusCode.NotFound, $"there is no network '{request.Network}'; 'overlay network list' lists them");
        return new ShowPoolsResponse
        {
            Revision = cache.Revision,
            Pools =
            {
                cache.Networks.Where(network => request.Network.Length == 0 || network.Name == request.Network)
                    .SelectMany(network => PoolReport.Of(network, cache.Blocks(network.Name), DateTimeOffset.UtcNow)),
            },
        };
    }

    private CheckResponse Check() => new()
    {
        Revision = cache.Revision,
        Problems = { StateChecks.Run(cache) },
        Networks = cache.Networks.Count,
        Nodes = cache.Nodes.Count,
        Blocks = cache.Networks.Sum(network => cache.Blocks(network.Name).Count(block => block.Holder is not null)),
    };
}
