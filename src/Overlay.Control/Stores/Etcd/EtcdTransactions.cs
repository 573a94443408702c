using System.Collections.Concurrent;
using System.Text;

namespace Overlay.Control.Stores.Etcd;

/// <summary>
/// Transactions that are applied once although an answer may be lost. A transaction whose request was not answered may have been applied,
/// may be applied later by a leader that still has it, or never. Therefore each also compares and writes a <em>slot</em>: a key of this
/// instance that one transaction at a time uses. After a lost answer the slot tells: it has this transaction's mark, or it still has the
/// one before, and then a second mark is put in its place, after which the lost transaction's comparison can no longer hold.
/// </summary>
internal sealed class EtcdTransactions(EtcdClient client, EtcdOptions options) : IDisposable
{
    /// <summary>Slots of an instance that died are deleted after this time.</summary>
    private static readonly TimeSpan SlotTime = TimeSpan.FromMinutes(10);

    private readonly ConcurrentBag<Slot> _free = [];
    private readonly SemaphoreSlim _granting = new(1);
    private readonly string _writer = $"{options.Prefix}writers/{Guid.NewGuid():N}/";
    private int _slots;
    private long _lease;
    private long _renewedAt;

    private sealed class Slot(string key)
    {
        public byte[] Key { get; } = Encoding.UTF8.GetBytes(key);

        /// <summary>Revision of the slot's last change; 0: it does not exist; null: not known.</summary>
        public long? Revision { get; set; } = 0;
    }

    private enum Marked
    {
        Applied,
        NotApplied,
    }

    /// <exception cref="EtcdFailure">It was refused, or the cluster did not answer in time and the outcome is unknown.</exception>
    public async Task<CommitResult> CommitAsync(StoreTransaction transaction, CancellationToken cancellation)
    {
        if (!_free.TryTake(out Slot? slot)) slot = new Slot($"{_writer}{Interlocked.Increment(ref _slots)}");
        try
        {
            return await CommitAsync(transaction, slot, cancellation).ConfigureAwait(false);
        }
        finally
        {
            _free.Add(slot);
        }
    }

    /// <summary>Deletes the slots.</summary>
    public async Task EndAsync(CancellationToken cancellation)
    {
        if (_lease == 0) return;
        await client.CallOnceAsync(
            "v3/lease/revoke", new EtcdLeaseRequest(_lease), EtcdJson.Default.EtcdLeaseRequest, EtcdJson.Default.EtcdNothing, cancellation)
            .ConfigureAwait(false);
    }

    public void Dispose() => _granting.Dispose();

    private async Task<CommitResult> CommitAsync(StoreTransaction transaction, Slot slot, CancellationToken cancellation)
    {
        long start = Environment.TickCount64;
        for (int attempt = 0; ; attempt++)
        {
            long lease = await LeaseAsync(cancellation).ConfigureAwait(false);
            slot.Revision ??= (await ReadSlotAsync(slot, cancellation).ConfigureAwait(false))?.ModRevision ?? 0;
            byte[] mark = Guid.NewGuid().ToByteArray();
            try
            {
                EtcdTransactionResponse answer = await SendAsync(Request(transaction, slot, mark, lease), cancellation).ConfigureAwait(false);
                long revision = answer.Header.Revision;
                if (answer.Succeeded)
                {
                    slot.Revision = revision;
                    return new CommitResult(CommitStatus.Committed, revision);
                }
                long found = answer.Responses?[0].Range?.KeyValues?[0].ModRevision ?? 0;
                if (found == slot.Revision) return new CommitResult(CommitStatus.Conflict, revision);
                // The slot's lease ran out, or a member was restored: what is there now is the slot.
                slot.Revision = found;
            }
            catch (EtcdFailure failure) when (failure.IsLeaseGone)
            {
                if (!await ForgetOwnLeaseAsync(lease, cancellation).ConfigureAwait(false))
                    return new CommitResult(CommitStatus.LeaseGone, await RevisionAsync(cancellation).ConfigureAwait(false));
            }
            catch (EtcdFailure failure) when (failure.IsFull)
            {
                // A member that found its quota used up while it applied the transaction refuses it, and has applied it.
                slot.Revision = null;
                EtcdKeyValue? now = await ReadSlotAsync(slot, cancellation).ConfigureAwait(false);
                slot.Revision = now?.ModRevision ?? 0;
                if (!HasMark(now, mark)) throw;
                return new CommitResult(CommitStatus.Committed, slot.Revision.Value);
            }
            catch (EtcdFailure failure) when (failure.IsTransient)
            {
                long before = slot.Revision.Value;
                slot.Revision = null;
                if (await ResolveAsync(slot, before, mark, lease, cancellation).ConfigureAwait(false) == Marked.Applied)
                    return new CommitResult(CommitStatus.Committed, slot.Revision!.Value);
                if (Environment.TickCount64 - start > options.CallDeadline.TotalMilliseconds) throw;
                await EtcdClient.BackOff.WaitAsync(attempt, cancellation).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                slot.Revision = null;
                throw;
            }
        }
    }

    /// <summary>Settles what became of a transaction without an answer, or throws where even that gets no answer.</summary>
    private async Task<Marked> ResolveAsync(Slot slot, long before, byte[] mark, long lease, CancellationToken cancellation)
    {
        EtcdFailure? full = null;
        while (true)
        {
            EtcdKeyValue? now = await ReadSlotAsync(slot, cancellation).ConfigureAwait(false);
            long revision = now?.ModRevision ?? 0;
            if (HasMark(now, mark))
            {
                slot.Revision = revision;
                return Marked.Applied;
            }
            if (revision != before)
            {
                // A fence of ours was applied, whose answer was lost.
                slot.Revision = revision;
                return Marked.NotApplied;
            }
            if (full is not null) throw new EtcdFailure("no answer came, and no space is left to settle whether it was done", -1, full);
            var fence = new EtcdTransactionRequest(
                [new EtcdCompare(slot.Key, before)], [new EtcdOperation(new EtcdPut(slot.Key, Guid.NewGuid().ToByteArray(), lease))], []);
            try
            {
                EtcdTransactionResponse answer = await SendAsync(fence, cancellation).ConfigureAwait(false);
                if (!answer.Succeeded) continue;
                slot.Revision = answer.Header.Revision;
                return Marked.NotApplied;
            }
            catch (EtcdFailure failure) when (failure.IsTransient)
            {
                // Either is told by the next look, which waits for the cluster and in the end gives up.
            }
            catch (EtcdFailure failure) when (failure.IsFull)
            {
                full = failure;
            }
        }
    }

    private static bool HasMark(EtcdKeyValue? slot, byte[] mark) => slot?.Value is { } value && value.AsSpan().SequenceEqual(mark);

    private static EtcdTransactionRequest Request(StoreTransaction transaction, Slot slot, byte[] mark, long lease) => new(
        [
            new EtcdCompare(slot.Key, slot.Revision!.Value),
            .. transaction.Conditions.Select(condition => new EtcdCompare(Encoding.UTF8.GetBytes(condition.Key), condition.Revision)),
        ],
        [
            new EtcdOperation(new EtcdPut(slot.Key, mark, lease)),
            .. transaction.Writes.Select(write => write.Value is { } value
                ? new EtcdOperation(new EtcdPut(Encoding.UTF8.GetBytes(write.Key), value.ToArray(), write.Lease))
                : new EtcdOperation(Delete: new EtcdDelete(Encoding.UTF8.GetBytes(write.Key)))),
        ],
        [new EtcdOperation(Range: new EtcdRangeRequest(slot.Key))]);

    private Task<EtcdTransactionResponse> SendAsync(EtcdTransactionRequest request, CancellationToken cancellation) => client.CallOnceAsync(
        "v3/kv/txn", request, EtcdJson.Default.EtcdTransactionRequest, EtcdJson.Default.EtcdTransactionResponse, cancellation);

    private async Task<EtcdKeyValue?> ReadSlotAsync(Slot slot, CancellationToken cancellation)
    {
        EtcdRangeResponse answer = await client.CallAsync(
            "v3/kv/range", new EtcdRangeRequest(slot.Key), EtcdJson.Default.EtcdRangeRequest, EtcdJson.Default.EtcdRangeResponse, cancellation)
            .ConfigureAwait(false);
        return answer.KeyValues is [var found, ..] ? found : null;
    }

    private async Task<long> RevisionAsync(CancellationToken cancellation)
    {
        EtcdRangeResponse answer = await client.CallAsync(
            "v3/kv/range", new EtcdRangeRequest(Encoding.UTF8.GetBytes(_writer), CountOnly: true),
            EtcdJson.Default.EtcdRangeRequest, EtcdJson.Default.EtcdRangeResponse, cancellation).ConfigureAwait(false);
        return answer.Header!.Revision;
    }

    /// <summary>The slots' lease, granted at first and renewed in passing.</summary>
    private async Task<long> LeaseAsync(CancellationToken cancellation)
    {
        if (_lease != 0 && Environment.TickCount64 - Volatile.Read(ref _renewedAt) < SlotTime.TotalMilliseconds / 4) return _lease;
        await _granting.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            long now = Environment.TickCount64;
            if (_lease != 0 && now - _renewedAt < SlotTime.TotalMilliseconds / 4) return _lease;
            if (_lease == 0 || !await EtcdStore.RenewAsync(client, _lease, cancellation).ConfigureAwait(false))
                _lease = await EtcdStore.GrantAsync(client, SlotTime, cancellation).ConfigureAwait(false);
            Volatile.Write(ref _renewedAt, now);
            return _lease;
        }
        finally
        {
            _granting.Release();
        }
    }

    /// <returns>False: the slots' lease is alive, so that it was another one that is gone.</returns>
    private async Task<bool> ForgetOwnLeaseAsync(long lease, CancellationToken cancellation)
    {
        if (await EtcdStore.RenewAsync(client, lease, cancellation).ConfigureAwait(false)) return false;
        await _granting.WaitAsync(cancellation).ConfigureAwait(false);
        if (_lease == lease) _lease = 0;
        _granting.Release();
        return true;
    }
}
