using System.Security.Cryptography.X509Certificates;

namespace Overlay.Control.Stores.Etcd;

/// <summary>How a cluster of etcd is reached.</summary>
public sealed class EtcdOptions
{
    /// <summary>Client URLs of the members, http or https.</summary>
    public required IReadOnlyList<Uri> Endpoints { get; init; }

    /// <summary>What all our keys begin with; networks that share a cluster each have one of their own.</summary>
    public string Prefix { get; init; } = "overlay/";

    /// <summary>CAs that sign the members' certificates; null: those of the host.</summary>
    public X509Certificate2Collection? Authorities { get; init; }

    /// <summary>Our certificate and its key; null: none is shown.</summary>
    public X509Certificate2? Certificate { get; init; }

    /// <summary>How long one member may take to answer before another is asked.</summary>
    public TimeSpan RequestDeadline { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>How long the cluster may take, the election of a leader included, before a call fails.</summary>
    public TimeSpan CallDeadline { get; init; } = TimeSpan.FromSeconds(15);
}
