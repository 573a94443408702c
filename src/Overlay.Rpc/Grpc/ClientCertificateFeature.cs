using System.Security.Cryptography.X509Certificates;

namespace Overlay.Rpc.Grpc;

/// <summary>The certificate of the connection's client; owned by the connection.</summary>
internal sealed record ClientCertificateFeature(X509Certificate2 Certificate);
