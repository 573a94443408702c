using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Overlay.Control.Stores.Etcd;

// The messages of etcd's v3 JSON gateway (api/etcdserverpb/rpc.proto): bytes in base64, 64-bit integers as strings, defaults left out.

internal sealed record EtcdHeader([property: JsonPropertyName("revision")] long Revision);

internal sealed record EtcdKeyValue(
    [property: JsonPropertyName("key")] byte[] Key,
    [property: JsonPropertyName("value")] byte[]? Value,
    [property: JsonPropertyName("create_revision")] long CreateRevision,
    [property: JsonPropertyName("mod_revision")] long ModRevision)
{
    public string KeyText => Encoding.UTF8.GetString(Key);
}

internal sealed record EtcdRangeRequest(
    [property: JsonPropertyName("key")] byte[] Key,
    [property: JsonPropertyName("range_end")] byte[]? RangeEnd = null,
    [property: JsonPropertyName("revision")] long Revision = 0,
    [property: JsonPropertyName("limit")] long Limit = 0,
    [property: JsonPropertyName("count_only")] bool CountOnly = false);

internal sealed record EtcdRangeResponse(
    [property: JsonPropertyName("header")] EtcdHeader? Header,
    [property: JsonPropertyName("kvs")] EtcdKeyValue[]? KeyValues,
    [property: JsonPropertyName("more")] bool More);

internal sealed record EtcdCompare(
    [property: JsonPropertyName("key")] byte[] Key,
    [property: JsonPropertyName("mod_revision")] long ModRevision)
{
    [JsonPropertyName("target")]
    public string Target { get; } = "MOD";

    [JsonPropertyName("result")]
    public string Result { get; } = "EQUAL";
}

internal sealed record EtcdPut(
    [property: JsonPropertyName("key")] byte[] Key,
    [property: JsonPropertyName("value")] byte[] Value,
    [property: JsonPropertyName("lease")] long Lease);

internal sealed record EtcdDelete([property: JsonPropertyName("key")] byte[] Key);

internal sealed record EtcdOperation(
    [property: JsonPropertyName("request_put")] EtcdPut? Put = null,
    [property: JsonPropertyName("request_delete_range")] EtcdDelete? Delete = null,
    [property: JsonPropertyName("request_range")] EtcdRangeRequest? Range = null);

internal sealed record EtcdTransactionRequest(
    [property: JsonPropertyName("compare")] IReadOnlyList<EtcdCompare> Compare,
    [property: JsonPropertyName("success")] IReadOnlyList<EtcdOperation> Success,
    [property: JsonPropertyName("failure")] IReadOnlyList<EtcdOperation> Failure);

internal sealed record EtcdOperationResponse([property: JsonPropertyName("response_range")] EtcdRangeResponse? Range);

internal sealed record EtcdTransactionResponse(
    [property: JsonPropertyName("header")] EtcdHeader Header,
    [property: JsonPropertyName("succeeded")] bool Succeeded,
    [property: JsonPropertyName("responses")] EtcdOperationResponse[]? Responses);

internal sealed record EtcdLeaseRequest(
    [property: JsonPropertyName("ID")] long Id,
    [property: JsonPropertyName("TTL")] long Seconds = 0);

internal sealed record EtcdLeaseResponse(
    [property: JsonPropertyName("ID")] long Id,
    [property: JsonPropertyName("TTL")] long Seconds);

internal sealed record EtcdKeepAliveResponse([property: JsonPropertyName("result")] EtcdLeaseResponse? Result);

internal sealed record EtcdCompactionRequest([property: JsonPropertyName("revision")] long Revision);

internal sealed record EtcdWatchCreate(
    [property: JsonPropertyName("key")] byte[] Key,
    [property: JsonPropertyName("range_end")] byte[] RangeEnd,
    [property: JsonPropertyName("start_revision")] long StartRevision);

internal sealed record EtcdWatchRequest([property: JsonPropertyName("create_request")] EtcdWatchCreate Create);

internal sealed record EtcdEvent(
    [property: JsonPropertyName("type")] string? Type,
    [property: JsonPropertyName("kv")] EtcdKeyValue KeyValue)
{
    public bool IsDelete => Type == "DELETE";
}

internal sealed record EtcdWatchResponse(
    [property: JsonPropertyName("created")] bool Created,
    [property: JsonPropertyName("canceled")] bool Canceled,
    [property: JsonPropertyName("cancel_reason")] string? CancelReason,
    [property: JsonPropertyName("compact_revision")] long CompactRevision,
    [property: JsonPropertyName("events")] EtcdEvent[]? Events);

internal sealed record EtcdWatchLine(
    [property: JsonPropertyName("result")] EtcdWatchResponse? Result,
    [property: JsonPropertyName("error")] JsonElement? Error);

internal sealed record EtcdError(
    [property: JsonPropertyName("code")] int Code,
    [property: JsonPropertyName("message")] string? Message,
    [property: JsonPropertyName("error")] string? Error);

internal sealed record EtcdNothing;

[JsonSourceGenerationOptions(
    NumberHandling = JsonNumberHandling.AllowReadingFromString | JsonNumberHandling.WriteAsString,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(EtcdRangeRequest))]
[JsonSerializable(typeof(EtcdRangeResponse))]
[JsonSerializable(typeof(EtcdTransactionRequest))]
[JsonSerializable(typeof(EtcdTransactionResponse))]
[JsonSerializable(typeof(EtcdLeaseRequest))]
[JsonSerializable(typeof(EtcdLeaseResponse))]
[JsonSerializable(typeof(EtcdKeepAliveResponse))]
[JsonSerializable(typeof(EtcdCompactionRequest))]
[JsonSerializable(typeof(EtcdWatchRequest))]
[JsonSerializable(typeof(EtcdWatchLine))]
[JsonSerializable(typeof(EtcdError))]
[JsonSerializable(typeof(EtcdNothing))]
internal sealed partial class EtcdJson : JsonSerializerContext;
