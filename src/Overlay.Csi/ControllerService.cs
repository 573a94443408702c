using System.Security.Cryptography;
using System.Text;
using Google.Protobuf.Reflection;
using Overlay.Csi.Pools;
using Overlay.Csi.Protos;
using Overlay.Csi.State;
using Overlay.Rpc.Grpc;
using CapabilityType = Overlay.Csi.Protos.ControllerServiceCapability.Types.RPC.Types.Type;

namespace Overlay.Csi;

/// <summary>Volumes of this node's pools: made, listed, removed.</summary>
internal sealed class ControllerService(CsiOptions options, VolumeStore store)
{
    private const long DefaultBytes = 1L << 30;
    private const long BlockBytes = 4096;
    private const int MaxNameBytes = 128;

    private readonly VolumeGate _gate = new();
    private readonly Lock _space = new();
    private readonly Dictionary<string, DirectoryPool> _pools = options.Pools.ToDictionary(pool => pool.Name, pool => new DirectoryPool(pool));

    public void AddTo(GrpcRoutes routes)
    {
        var service = CsiReflection.Descriptor.FindTypeByName<ServiceDescriptor>("Controller");
        routes
            .Unary(
                new GrpcMethod<ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse>(service, "ControllerGetCapabilities"),
                (_, _) => Task.FromResult(Offered()))
            .Unary(new GrpcMethod<CreateVolumeRequest, CreateVolumeResponse>(service, "CreateVolume"), CreateAsync)
            .Unary(new GrpcMethod<DeleteVolumeRequest, DeleteVolumeResponse>(service, "DeleteVolume"), DeleteAsync)
            .Unary(
                new GrpcMethod<ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse>(service, "ValidateVolumeCapabilities"),
                (request, _) => Task.FromResult(Validate(request)))
            .Unary(new GrpcMethod<ListVolumesRequest, ListVolumesResponse>(service, "ListVolumes"), (request, _) => Task.FromResult(List(request)))
            .Unary(new GrpcMethod<GetCapacityRequest, GetCapacityResponse>(service, "GetCapacity"), (request, _) => Task.FromResult(Capacity(request)));
    }

    /// <summary>Finishes what an earlier process began to remove. Returns what nobody knows: it is reported and kept.</summary>
    public IReadOnlyList<string> Reconcile()
    {
        foreach (VolumeRecord record in store.All.Where(record => record.Phase == VolumePhase.Deleting).ToArray())
        {
            if (_pools.TryGetValue(record.Pool, out DirectoryPool? pool) && pool.HeldBecause(record) is null) Remove(pool, record);
        }
        return [
            .. _pools.Values.SelectMany(pool => pool.Unknown(store.All)).Select(path => $"image {path} has no record"),
            .. store.All.Where(record => !_pools.ContainsKey(record.Pool)).Select(record => $"volume {record.Id} is of pool {record.Pool}, which is not configured"),
        ];
    }

    private static ControllerServiceCapability.Types.RPC Rpc(CapabilityType type) => new() { Type = type };

    private static ControllerGetCapabilitiesResponse Offered() => new()
    {
        Capabilities =
        {
            new ControllerServiceCapability { Rpc = Rpc(CapabilityType.CreateDeleteVolume) },
            new ControllerServiceCapability { Rpc = Rpc(CapabilityType.ListVolumes) },
            new ControllerServiceCapability { Rpc = Rpc(CapabilityType.GetCapacity) },
            new ControllerServiceCapability { Rpc = Rpc(CapabilityType.SingleNodeMultiWriter) },
        },
    };

    private async Task<CreateVolumeResponse> CreateAsync(CreateVolumeRequest request, GrpcCall call)
    {
        if (request.Name.Length == 0) throw Invalid("name is missing");
        if (Encoding.UTF8.GetByteCount(request.Name) > MaxNameBytes) throw Invalid($"name has more than {MaxNameBytes} bytes");
        Capabilities.Check(request.VolumeCapabilities);
        if (Capabilities.Refusal(request.VolumeCapabilities) is { } refusal) throw Invalid(refusal);
        if (request.VolumeContentSource is not null) throw Invalid("volume_content_source: volumes are made empty only");
        if (request.MutableParameters.Count > 0) throw Invalid("mutable_parameters: there are none");
        VolumeParameters parameters = VolumeParameters.Parse(request.Parameters);
        DirectoryPool pool = PoolOf(parameters);
        if (!IsHere(request.AccessibilityRequirements))
        {
            throw new GrpcException(
                GrpcStatusCode.ResourceExhausted, $"accessibility_requirements: the pools here reach {options.TopologyKey}={options.NodeId} only");
        }
        string id = IdOf(request.Name);
        return await _gate.RunAsync(id, request, () => Create(id, request, parameters, pool), call.Cancellation).ConfigureAwait(false);
    }

    private CreateVolumeResponse Create(string id, CreateVolumeRequest request, VolumeParameters parameters, DirectoryPool pool)
    {
        string shape = $"{(parameters.Reserved ? "reserved" : "thin")} {Capabilities.Notation(request.VolumeCapabilities)}";
        VolumeRecord? record = store.Find(id);
        if (record is { Phase: VolumePhase.Deleting })
        {
            throw new GrpcException(GrpcStatusCode.Aborted, $"volume {id} of that name is being deleted; try again");
        }
        if (record is not null)
        {
            CheckSame(record, request, shape, pool.Name);
        }
        else
        {
            record = new VolumeRecord(
                id, request.Name, pool.Name, SizeOf(request), parameters.Reserved, shape, VolumePhase.Creating, 0);
            if (pool.Holds(record))
            {
                throw new GrpcException(
                    GrpcStatusCode.FailedPrecondition, $"pool {pool.Name} holds an image of volume {id} without a record; it is kept: restore its record, or move it away");
            }
            Commit(record, pool);
        }
        if (record.Phase == VolumePhase.Creating)
        {
            try
            {
                record = record with { Inode = pool.Create(record), Phase = VolumePhase.Ready };
            }
            catch (GrpcException exception) when (exception.Status == GrpcStatusCode.ResourceExhausted)
            {
                store.Remove(id);
                throw;
            }
            store.Put(record);
        }
        return new CreateVolumeResponse { Volume = Describe(record) };
    }

    /// <summary>Promises the space: no two calls are promised the same.</summary>
    private void Commit(VolumeRecord record, DirectoryPool pool)
    {
        lock (_space)
        {
            long available = pool.Available(store.All);
            if (record.CapacityBytes > available)
            {
                throw new GrpcException(
                    GrpcStatusCode.ResourceExhausted, $"pool {pool.Name} has {available} bytes to give, not {record.CapacityBytes}");
            }
            store.Put(record);
        }
    }

    private static void CheckSame(VolumeRecord record, CreateVolumeRequest request, string shape, string pool)
    {
        (long required, long limit) = Range(request.CapacityRange);
        string? difference =
            record.Name != request.Name ? $"name '{record.Name}'"
            : record.CapacityBytes < required || (limit > 0 && record.CapacityBytes > limit) ? $"{record.CapacityBytes} bytes"
            : record.Pool != pool ? $"pool {record.Pool}"
            : record.Shape != shape ? record.Shape
            : null;
        if (difference is not null)
        {
            throw new GrpcException(GrpcStatusCode.AlreadyExists, $"volume {record.Id} of that name exists with {difference}");
        }
    }

    private async Task<DeleteVolumeResponse> DeleteAsync(DeleteVolumeRequest request, GrpcCall call)
    {
        if (request.VolumeId.Length == 0) throw Invalid("volume_id is missing");
        return await _gate.RunAsync(request.VolumeId, request, () => Delete(request.VolumeId), call.Cancellation).ConfigureAwait(false);
    }

    private DeleteVolumeResponse Delete(string id)
    {
        if (store.Find(id) is not { } record) return new DeleteVolumeResponse();
        if (!_pools.TryGetValue(record.Pool, out DirectoryPool? pool))
        {
            throw new GrpcException(GrpcStatusCode.FailedPrecondition, $"volume {id} is of pool {record.Pool}, which is not configured");
        }
        if (pool.HeldBecause(record) is { } reason) throw new GrpcException(GrpcStatusCode.FailedPrecondition, reason);
        Remove(pool, record);
        return new DeleteVolumeResponse();
    }

    private void Remove(DirectoryPool pool, VolumeRecord record)
    {
        // One that was never finished keeps its mark: its image has no inode on record to be told by.
        if (record.Phase == VolumePhase.Ready) store.Put(record with { Phase = VolumePhase.Deleting });
        pool.Delete(record);
        store.Remove(record.Id);
    }

    private ValidateVolumeCapabilitiesResponse Validate(ValidateVolumeCapabilitiesRequest request)
    {
        if (request.VolumeId.Length == 0) throw Invalid("volume_id is missing");
        Capabilities.Check(request.VolumeCapabilities);
        if (store.Find(request.VolumeId) is not { Phase: VolumePhase.Ready } record)
        {
            throw new GrpcException(GrpcStatusCode.NotFound, $"no volume {request.VolumeId}");
        }
        string made = record.Shape[(record.Shape.IndexOf(' ', StringComparison.Ordinal) + 1)..];
        string asked = Capabilities.Notation(request.VolumeCapabilities);
        string? refusal = Capabilities.Refusal(request.VolumeCapabilities);
        if (refusal is null && asked.Split(',').Except(made.Split(',')).Any()) refusal = $"the volume is {made}, not {asked}";
        return refusal is not null
            ? new ValidateVolumeCapabilitiesResponse { Message = refusal }
            : new ValidateVolumeCapabilitiesResponse
            {
                Confirmed = new ValidateVolumeCapabilitiesResponse.Types.Confirmed
                {
                    VolumeContext = { request.VolumeContext },
                    VolumeCapabilities = { request.VolumeCapabilities },
                    Parameters = { request.Parameters },
                },
            };
    }

    private ListVolumesResponse List(ListVolumesRequest request)
    {
        if (request.MaxEntries < 0) throw Invalid($"max_entries {request.MaxEntries} is negative");
        string after = request.StartingToken;
        if (after.Length > 0 && !IsId(after))
        {
            throw new GrpcException(GrpcStatusCode.Aborted, $"starting_token '{after}' is none of this driver's; list from the start");
        }
        VolumeRecord[] rest = [
            .. store.All.Where(record => record.Phase == VolumePhase.Ready && string.CompareOrdinal(record.Id, after) > 0),
        ];
        VolumeRecord[] page = request.MaxEntries == 0 ? rest : [.. rest.Take(request.MaxEntries)];
        return new ListVolumesResponse
        {
            Entries = { page.Select(record => new ListVolumesResponse.Types.Entry { Volume = Describe(record) }) },
            NextToken = page.Length < rest.Length ? page[^1].Id : "",
        };
    }

    private GetCapacityResponse Capacity(GetCapacityRequest request)
    {
        if (request.VolumeCapabilities.Count > 0)
        {
            Capabilities.Check(request.VolumeCapabilities);
            if (Capabilities.Refusal(request.VolumeCapabilities) is not null) return new GetCapacityResponse();
        }
        DirectoryPool pool = PoolOf(VolumeParameters.Parse(request.Parameters));
        if (request.AccessibleTopology is { } topology && !IsHere(topology)) return new GetCapacityResponse();
        long available = pool.Available(store.All) / BlockBytes * BlockBytes;
        return new GetCapacityResponse { AvailableCapacity = available, MaximumVolumeSize = available };
    }

    /// <summary>The same for the same name, so that a repeated call finds what the first one made.</summary>
    private static string IdOf(string name) => $"vol-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name)))[..32]}";

    private static bool IsId(string text) =>
        text.Length == 36 && text.StartsWith("vol-", StringComparison.Ordinal) && text.Skip(4).All(char.IsAsciiHexDigitLower);

    private static (long Required, long Limit) Range(CapacityRange? range)
    {
        (long required, long limit) = (range?.RequiredBytes ?? 0, range?.LimitBytes ?? 0);
        if (required < 0 || limit < 0) throw Invalid($"capacity_range: {required} to {limit} bytes is negative");
        if (limit > 0 && required > limit) throw Invalid($"capacity_range: required_bytes {required} is more than limit_bytes {limit}");
        return (required, limit);
    }

    private static long SizeOf(CreateVolumeRequest request)
    {
        (long required, long limit) = Range(request.CapacityRange);
        long smallest = Capabilities.Smallest(request.VolumeCapabilities);
        long wanted = required > 0 ? required : limit > 0 ? Math.Max(smallest, Math.Min(limit / BlockBytes * BlockBytes, DefaultBytes)) : DefaultBytes;
        long size = Math.Max(wanted, smallest);
        if (size > long.MaxValue - BlockBytes) throw new GrpcException(GrpcStatusCode.OutOfRange, $"capacity_range: {size} bytes is too large");
        size = (size + BlockBytes - 1) / BlockBytes * BlockBytes;
        return limit == 0 || size <= limit ? size : throw new GrpcException(
            GrpcStatusCode.OutOfRange, $"capacity_range: such a volume has at least {smallest} bytes and a multiple of {BlockBytes}, so {size}: more than limit_bytes {limit}");
    }

    private static GrpcException Invalid(string message) => new(GrpcStatusCode.InvalidArgument, message);

    private DirectoryPool PoolOf(VolumeParameters parameters)
    {
        string name = parameters.Pool ?? options.Pools[0].Name;
        return _pools.GetValueOrDefault(name) ?? throw Invalid($"parameter pool '{name}': there are {string.Join(", ", _pools.Keys)}");
    }

    private bool IsHere(TopologyRequirement? requirement) =>
        requirement is null || (requirement.Requisite.Count == 0 && requirement.Preferred.Count == 0)
        || (requirement.Requisite.Count > 0 ? requirement.Requisite : requirement.Preferred).Any(IsHere);

    private bool IsHere(Topology topology) =>
        topology.Segments.All(segment => segment.Key == options.TopologyKey && segment.Value == options.NodeId);

    private Volume Describe(VolumeRecord record) => new()
    {
        VolumeId = record.Id,
        CapacityBytes = record.CapacityBytes,
        VolumeContext = { ["pool"] = record.Pool },
        AccessibleTopology = { new Topology { Segments = { [options.TopologyKey] = options.NodeId } } },
    };
}
