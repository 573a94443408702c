using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Overlay.Rpc.Security;

/// <summary>A certificate and its private key, in PEM.</summary>
public sealed record IssuedCertificate(string CertificatePem, string KeyPem);

/// <summary>Signs the certificates of nodes, controllers and administrators: ECDSA on P-256 throughout.</summary>
public sealed class CertificateAuthority : IDisposable
{
    /// <summary>Clocks of machines may differ by so much.</summary>
    private static readonly TimeSpan Skew = TimeSpan.FromMinutes(5);

    private readonly X509Certificate2 _certificate;

    private CertificateAuthority(X509Certificate2 certificate) => _certificate = certificate;

    public DateTime NotAfter => _certificate.NotAfter.ToUniversalTime();

    /// <summary>Makes an authority of its own.</summary>
    public static IssuedCertificate Create(string name, DateTimeOffset now, TimeSpan life)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var subject = new X500DistinguishedNameBuilder();
        subject.AddOrganizationName("overlay-authority");
        subject.AddCommonName(name);
        var request = new CertificateRequest(subject.Build(), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: true, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        using X509Certificate2 certificate = request.CreateSelfSigned(now - Skew, now + life);
        return new IssuedCertificate(certificate.ExportCertificatePem() + "\n", key.ExportPkcs8PrivateKeyPem() + "\n");
    }

    /// <exception cref="CryptographicException">They are no certificate and its key.</exception>
    public static CertificateAuthority Open(string certificatePem, string keyPem) => new(X509Certificate2.CreateFromPem(certificatePem, keyPem));

    /// <summary>Issues a certificate, which never outlives the authority's.</summary>
    /// <param name="hosts">Names and addresses under which a controller is reached.</param>
    public IssuedCertificate Issue(CertificateIdentity identity, IEnumerable<string> hosts, DateTimeOffset now, TimeSpan life)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(identity.ToSubject(), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        string usage = identity.Role == CertificateRole.Controller ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2";
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(usage)], critical: false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_certificate, true, false));
        var names = new SubjectAlternativeNameBuilder();
        bool hasNames = false;
        foreach (string host in hosts)
        {
            hasNames = true;
            if (IPAddress.TryParse(host, out IPAddress? address)) names.AddIpAddress(address);
            else names.AddDnsName(host);
        }
        if (hasNames) request.CertificateExtensions.Add(names.Build());
        DateTimeOffset end = now + life < _certificate.NotAfter ? now + life : _certificate.NotAfter;
        DateTimeOffset start = now - Skew > _certificate.NotBefore ? now - Skew : _certificate.NotBefore;
        if (end < start) start = end - Skew;
        using X509Certificate2 certificate = request.Create(_certificate, start, end, RandomNumberGenerator.GetBytes(16));
        return new IssuedCertificate(certificate.ExportCertificatePem() + "\n", key.ExportPkcs8PrivateKeyPem() + "\n");
    }

    public void Dispose() => _certificate.Dispose();
}
