using System.Net;

namespace Overlay.Controller;

/// <summary>A controller's configuration file, read and checked.</summary>
/// <param name="Listen">Where nodes and administrators are served over TCP; null: nowhere.</param>
/// <param name="Tls">Null exactly where <paramref name="Listen"/> is.</param>
/// <param name="Socket">Unix socket for administration.</param>
/// <param name="Metrics">Where metrics and health are told in clear text; null: nowhere.</param>
internal sealed record ControllerOptions(
    StoreOptions Store, IPEndPoint? Listen, TlsPaths? Tls, string Socket, NodeLeaseOptions Nodes, ControllerLimits Limits, IPEndPoint? Metrics);

internal sealed record TlsPaths(string Certificate, string Key, string Authority);

/// <param name="File">SQLite's database.</param>
/// <param name="Endpoints">etcd's members; empty: the store is SQLite.</param>
/// <param name="Prefix">What keys in etcd begin with.</param>
/// <param name="Tls">Files for etcd; null: none.</param>
internal sealed record StoreOptions(string File, IReadOnlyList<Uri> Endpoints, string Prefix, TlsPaths? Tls)
{
    public bool IsEtcd => Endpoints.Count > 0;

    public override string ToString() => IsEtcd ? $"etcd {string.Join(',', Endpoints)}" : $"sqlite {File}";
}

/// <param name="Lease">How long a node that says nothing is taken to be alive.</param>
/// <param name="Grace">How long a node that is gone keeps its blocks.</param>
internal sealed record NodeLeaseOptions(TimeSpan Lease, TimeSpan Grace)
{
    /// <summary>
    /// Seconds since it last renewed its lease in which a node can be sure of its blocks. They are taken back one lease later, and a thousandth of the grace, by
    /// which clocks may run apart.
    /// </summary>
    public int HoldSeconds => (int)(Lease + (Grace * 0.999)).TotalSeconds;
}

/// <param name="RequestBytes">Largest request.</param>
/// <param name="StreamsPerClient">Most watches that one client has at a time.</param>
internal sealed record ControllerLimits(int RequestBytes, int StreamsPerClient);
