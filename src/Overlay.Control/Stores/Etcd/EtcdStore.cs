using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;

namespace Overlay.Control.Stores.Etcd;

/// <summary>The store in a cluster of etcd 3.4 or newer, by its v3 JSON gateway.</summary>
public sealed class EtcdStore : IControlStore
{
    private const int PageSize = 2000;

    private readonly EtcdOptions _options;
    private readonly EtcdClient _client;
    private readonly EtcdTransactions _transactions;

    public EtcdStore(EtcdOptions options)
    {
        _options = options;
        StoreKeys.Check(options.Prefix);
        _client = new EtcdClient(options);
        _transactions = new EtcdTransactions(_client, options);
    }

    public string Name => $"etcd {string.Join(',', _options.Endpoints.Select(each => each.Authority))}";

    public Task<StoreRange?> ReadAsync(string prefix, long? revision, CancellationToken cancellation) =>
        Translate(() => ReadRangeAsync(Full(prefix), revision ?? 0, cancellation));

    public Task<CommitResult> CommitAsync(StoreTransaction transaction, CancellationToken cancellation) =>
        Translate(() => _transactions.CommitAsync(Full(transaction), cancellation), writes: true);

    public async IAsyncEnumerable<StoreChange> WatchAsync(
        string prefix, long after, [EnumeratorCancellation] CancellationToken cancellation)
    {
        string full = Full(prefix);
        var request = new EtcdWatchRequest(new EtcdWatchCreate(Bytes(full), Bytes(StoreKeys.End(full)), after + 1));
        Stream stream = await Translate(
            () => _client.StreamAsync("v3/watch", request, EtcdJson.Default.EtcdWatchRequest, cancellation)).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            // Compaction at after + 1 may have dropped deletions of that revision, for which etcd ends no watch.
            if (await Translate(() => IsCompactedAsync(full, after, cancellation)).ConfigureAwait(false))
            {
                yield return StoreChange.StartOver;
                yield break;
            }
            using var lines = new StreamReader(stream);
            while (true)
            {
                EtcdWatchResponse? response = await Translate(() => ReadWatchAsync(lines, cancellation)).ConfigureAwait(false);
                if (response is null || response.CompactRevision > 0)
                {
                    yield return StoreChange.StartOver;
                    yield break;
                }
                foreach (StoreChange change in Changes(response.Events ?? [])) yield return change;
            }
        }
    }

    public Task<long> GrantLeaseAsync(TimeSpan time, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.FromSeconds(1));
        return Translate(() => GrantAsync(_client, time, cancellation));
    }

    public Task<bool> RenewLeaseAsync(long lease, CancellationToken cancellation) => Translate(() => RenewAsync(_client, lease, cancellation));

    public Task RevokeLeaseAsync(long lease, CancellationToken cancellation) => Translate(async () =>
    {
        try
        {
            return await _client.CallAsync(
                "v3/lease/revoke", new EtcdLeaseRequest(lease), EtcdJson.Default.EtcdLeaseRequest, EtcdJson.Default.EtcdNothing, cancellation)
                .ConfigureAwait(false);
        }
        catch (EtcdFailure failure) when (failure.IsLeaseGone)
        {
            return new EtcdNothing();
        }
    });

    public Task CompactAsync(long revision, CancellationToken cancellation) => Translate(async () =>
    {
        try
        {
            return await _client.CallAsync(
                "v3/kv/compaction", new EtcdCompactionRequest(revision), EtcdJson.Default.EtcdCompactionRequest, EtcdJson.Default.EtcdNothing,
                cancellation).ConfigureAwait(false);
        }
        catch (EtcdFailure failure) when (failure.IsCompacted || failure.IsFutureRevision)
        {
            return new EtcdNothing();
        }
    });

    public async ValueTask DisposeAsync()
    {
        using var deadline = new CancellationTokenSource(_options.RequestDeadline);
        try
        {
            await _transactions.EndAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (error is EtcdFailure or OperationCanceledException)
        {
            // The slots' lease ends by itself.
        }
        _transactions.Dispose();
        _client.Dispose();
    }

    internal static async Task<long> GrantAsync(EtcdClient client, TimeSpan time, CancellationToken cancellation)
    {
        // An answer that is lost leaves a lease without keys, which ends by itself.
        EtcdLeaseResponse answer = await client.CallAsync(
            "v3/lease/grant", new EtcdLeaseRequest(0, (long)Math.Ceiling(time.TotalSeconds)),
            EtcdJson.Default.EtcdLeaseRequest, EtcdJson.Default.EtcdLeaseResponse, cancellation).ConfigureAwait(false);
        return answer.Id;
    }

    internal static async Task<bool> RenewAsync(EtcdClient client, long lease, CancellationToken cancellation)
    {
        EtcdKeepAliveResponse answer = await client.CallAsync(
            "v3/lease/keepalive", new EtcdLeaseRequest(lease), EtcdJson.Default.EtcdLeaseRequest, EtcdJson.Default.EtcdKeepAliveResponse,
            cancellation).ConfigureAwait(false);
        return answer.Result?.Seconds > 0;
    }

    private async Task<StoreRange?> ReadRangeAsync(string prefix, long asked, CancellationToken cancellation)
    {
        var entries = new List<StoreEntry>();
        long revision = asked;
        byte[] from = Bytes(prefix);
        byte[] end = Bytes(StoreKeys.End(prefix));
        while (true)
        {
            try
            {
                EtcdRangeResponse page = await _client.CallAsync(
                    "v3/kv/range", new EtcdRangeRequest(from, end, revision, PageSize), EtcdJson.Default.EtcdRangeRequest,
                    EtcdJson.Default.EtcdRangeResponse, cancellation).ConfigureAwait(false);
                // All pages are of the first one's revision.
                if (revision == 0) revision = page.Header!.Revision;
                foreach (EtcdKeyValue found in page.KeyValues ?? []) entries.Add(Entry(found));
                if (!page.More) return new StoreRange(revision, entries);
                from = [.. page.KeyValues![^1].Key, 0];
            }
            catch (EtcdFailure failure) when (failure.IsCompacted)
            {
                if (asked != 0) return null;
                // The newest revision was compacted away between two pages: there is a newer one.
                (revision, from) = (0, Bytes(prefix));
                entries.Clear();
            }
        }
    }

    private async Task<bool> IsCompactedAsync(string key, long revision, CancellationToken cancellation)
    {
        if (revision == 0) return false;
        try
        {
            await _client.CallAsync(
                "v3/kv/range", new EtcdRangeRequest(Bytes(key), Revision: revision, CountOnly: true), EtcdJson.Default.EtcdRangeRequest,
                EtcdJson.Default.EtcdRangeResponse, cancellation).ConfigureAwait(false);
            return false;
        }
        catch (EtcdFailure failure) when (failure.IsCompacted)
        {
            return true;
        }
        catch (EtcdFailure failure) when (failure.IsFutureRevision)
        {
            // The cluster was restored from a backup: what the caller knows never was.
            return true;
        }
    }

    private async Task<EtcdWatchResponse?> ReadWatchAsync(StreamReader lines, CancellationToken cancellation)
    {
        try
        {
            string? line = await lines.ReadLineAsync(cancellation).ConfigureAwait(false);
            EtcdWatchLine? message = line is null ? null : JsonSerializer.Deserialize(line, EtcdJson.Default.EtcdWatchLine);
            if (message?.Result is not { } result)
            {
                _client.LeaveMember();
                throw new EtcdFailure($"the watch was ended{(message?.Error is { } error ? $": {error}" : "")}", -1);
            }
            if (!result.Canceled || result.CompactRevision > 0) return result;
            _client.LeaveMember();
            throw new EtcdFailure($"the watch was ended: {result.CancelReason}", -1);
        }
        catch (Exception error) when (EtcdClient.IsNoAnswer(error, cancellation))
        {
            _client.LeaveMember();
            throw new EtcdFailure($"the watch broke: {error.Message}", -1, error);
        }
    }

    private IEnumerable<StoreChange> Changes(EtcdEvent[] events)
    {
        int start = 0;
        while (start < events.Length)
        {
            long revision = events[start].KeyValue.ModRevision;
            int end = start;
            while (end < events.Length && events[end].KeyValue.ModRevision == revision) end++;
            yield return new StoreChange(revision, [.. events[start..end].Select(each => new StoreEvent(
                Own(each.KeyValue.KeyText), each.IsDelete ? null : Entry(each.KeyValue)))]);
            start = end;
        }
    }

    private StoreEntry Entry(EtcdKeyValue found) => new(Own(found.KeyText), found.Value ?? [], found.CreateRevision, found.ModRevision);

    private string Full(string key) => _options.Prefix + StoreKeys.Check(key);

    private string Own(string key) => key[_options.Prefix.Length..];

    private StoreTransaction Full(StoreTransaction transaction)
    {
        var full = new StoreTransaction();
        foreach (StoreCondition condition in transaction.Conditions) full.Require(Full(condition.Key), condition.Revision);
        foreach (StoreWrite write in transaction.Writes)
        {
            if (write.Value is { } value) full.Put(Full(write.Key), value, write.Lease);
            else full.Delete(Full(write.Key));
        }
        return full;
    }

    private static byte[] Bytes(string key) => Encoding.UTF8.GetBytes(key);

    private async Task<T> Translate<T>(Func<Task<T>> call, bool writes = false)
    {
        try
        {
            return await call().ConfigureAwait(false);
        }
        catch (EtcdFailure failure)
        {
            if (failure.IsFull)
            {
                throw new StoreException(
                    $"{Name} has no space left, and nothing was changed: 'etcdctl compaction' of a late revision and 'etcdctl defrag' of each member, or raise --quota-backend-bytes; then 'etcdctl alarm disarm'",
                    false, failure);
            }
            throw new StoreException(
                $"{Name}: {failure.Message}; {(failure.IsTransient ? "check that most of its members run and reach each other" : "check its log")}",
                writes && failure.IsTransient, failure);
        }
    }
}
