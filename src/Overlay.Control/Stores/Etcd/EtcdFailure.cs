namespace Overlay.Control.Stores.Etcd;

/// <summary>A request that etcd refused, or to which no answer came.</summary>
/// <param name="status">Status code of gRPC; -1: no answer.</param>
internal sealed class EtcdFailure(string message, int status, Exception? cause = null) : Exception(message, cause)
{
    // Status codes of gRPC.
    private const int Unknown = 2;
    private const int DeadlineExceeded = 4;
    private const int NotFound = 5;
    private const int ResourceExhausted = 8;
    private const int OutOfRange = 11;
    private const int Unavailable = 14;

    public bool IsCompacted => status == OutOfRange && Message.Contains("compacted", StringComparison.Ordinal);

    public bool IsFutureRevision => status == OutOfRange && Message.Contains("future revision", StringComparison.Ordinal);

    public bool IsLeaseGone => status == NotFound && Message.Contains("lease", StringComparison.Ordinal);

    /// <summary>The members' quota is used up; etcd takes no writes until an operator made room.</summary>
    public bool IsFull => status == ResourceExhausted && Message.Contains("space", StringComparison.Ordinal);

    /// <summary>
    /// Whether another member, or the same one later, may answer. A leader that is lost, a slow member and too many requests are of this
    /// kind; what was asked may have been done.
    /// </summary>
    public bool IsTransient => status is -1 or Unavailable or DeadlineExceeded || (status == ResourceExhausted && !IsFull)
        || (status == Unknown && Message.Contains("leader", StringComparison.Ordinal));
}
