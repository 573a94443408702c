using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Overlay.Rpc.Security;

/// <summary>A file of certificates or keys cannot be used.</summary>
public sealed class TlsFileException(string message, Exception? cause = null) : Exception(message, cause);

/// <summary>Our certificate with its key, and whom we trust.</summary>
public sealed record TlsMaterial(X509Certificate2 Certificate, X509Certificate2Collection Authorities)
{
    /// <summary>The certificate as connections show it; one for all of them.</summary>
    public SslStreamCertificateContext Shown { get; } = SslStreamCertificateContext.Create(Certificate, null, offline: true);
}

/// <summary>
/// Certificate, key and authorities in PEM files, which may be replaced while the process runs: they are read again when they changed.
/// </summary>
public sealed class TlsFiles(string certificate, string key, string authority)
{
    private readonly Lock _lock = new();
    private TlsMaterial? _material;
    private (DateTime, DateTime, DateTime) _read;

    /// <summary>What the files hold. While a replacement is half done, what they held before.</summary>
    /// <exception cref="TlsFileException">They cannot be used, and never could.</exception>
    public TlsMaterial Current
    {
        get
        {
            lock (_lock)
            {
                var written = (File.GetLastWriteTimeUtc(certificate), File.GetLastWriteTimeUtc(key), File.GetLastWriteTimeUtc(authority));
                if (_material is not null && written == _read) return _material;
                try
                {
                    _material = Read();
                    _read = written;
                }
                catch (TlsFileException) when (_material is not null)
                {
                    // They are looked at again for the next connection.
                }
                return _material;
            }
        }
    }

    /// <summary>For a server that takes any certificate into a connection, or none: each call is checked, so that its client is told why.</summary>
#pragma warning disable CA5359 // Callers are checked call by call.
    public SslServerAuthenticationOptions ForServer() => new()
    {
        ServerCertificateContext = Current.Shown,
        // Or each connection has all authorities of the host searched.
        CertificateChainPolicy = CertificateCheck.Policy(Current.Authorities),
        ClientCertificateRequired = true,
        // Each connection proves anew what it holds.
        AllowTlsResume = false,
        EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        RemoteCertificateValidationCallback = (_, _, _, _) => true,
    };
#pragma warning restore CA5359

    /// <summary>For a client of controllers. A server that is none is refused with an <see cref="AuthenticationException"/> that says why.</summary>
    public SslClientAuthenticationOptions ForClient()
    {
        TlsMaterial material = Current;
        return new SslClientAuthenticationOptions
        {
            ClientCertificateContext = material.Shown,
            CertificateChainPolicy = CertificateCheck.Policy(material.Authorities),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            RemoteCertificateValidationCallback = (_, remote, _, errors) =>
            {
                using X509Certificate2? server = remote is null ? null : new X509Certificate2(remote);
                string? refusal = RefusalOf(server, material.Authorities, errors);
                return refusal is null ? server is not null : throw new AuthenticationException(refusal);
            },
        };
    }

    private static string? RefusalOf(X509Certificate2? server, X509Certificate2Collection authorities, SslPolicyErrors errors)
    {
        if (CertificateCheck.Refusal(server, authorities, DateTimeOffset.UtcNow) is { } refusal) return $"the controller is not trusted: {refusal}";
        if (CertificateIdentity.Read(server!) is not { Role: CertificateRole.Controller } identity)
            return $"what listens there is no controller: its certificate is that of '{server!.Subject}'";
        return errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch)
            ? $"the certificate of {identity} is not for the host that was called; issue it anew with that host ('overlay pki controller')"
            : null;
    }

    private TlsMaterial Read()
    {
        X509Certificate2Collection authorities = [];
        X509Certificate2 own;
        try
        {
            authorities.ImportFromPem(File.ReadAllText(authority));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new TlsFileException($"{authority}: {exception.Message}; name the ca.pem that 'overlay pki init' made", exception);
        }
        if (authorities.Count == 0) throw new TlsFileException($"{authority} holds no certificate; name the ca.pem that 'overlay pki init' made");
        try
        {
            own = X509Certificate2.CreateFromPem(File.ReadAllText(certificate), File.ReadAllText(key));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new TlsFileException($"{certificate} and {key}: {exception.Message}; name a certificate and its key that 'overlay pki' made", exception);
        }
        return new TlsMaterial(own, authorities);
    }
}
