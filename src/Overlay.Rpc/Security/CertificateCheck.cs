using System.Security.Cryptography.X509Certificates;

namespace Overlay.Rpc.Security;

/// <summary>Tells in words why a certificate is not accepted.</summary>
public static class CertificateCheck
{
    /// <param name="certificate">What the other side showed and proved to hold.</param>
    /// <param name="authorities">Whose signatures are trusted.</param>
    /// <param name="now">The time it is to be good at.</param>
    /// <returns>What is wrong and what to do; null: nothing.</returns>
    public static string? Refusal(X509Certificate2? certificate, X509Certificate2Collection authorities, DateTimeOffset now)
    {
        if (certificate is null) return "no certificate was shown; give one that 'overlay pki' made";
        string who = CertificateIdentity.Read(certificate)?.ToString() ?? $"'{certificate.Subject}'";
        // The chain is looked at apart from its times, so that each has its own words.
        using var chain = new X509Chain { ChainPolicy = Policy(authorities) };
        if (!chain.Build(certificate))
        {
            string reasons = string.Join(", ", chain.ChainStatus.Select(status => status.Status.ToString()).Distinct());
            return $"the certificate of {who} is signed by '{certificate.Issuer}', which is not among the trusted authorities ({reasons}); issue it anew, or give both sides one ca.pem";
        }
        foreach (X509ChainElement element in chain.ChainElements)
        {
            string whose = ReferenceEquals(element, chain.ChainElements[0]) ? $"the certificate of {who}" : "the authority's certificate";
            if (now > element.Certificate.NotAfter) return $"{whose} expired on {Time(element.Certificate.NotAfter)}; issue it anew";
            if (now < element.Certificate.NotBefore) return $"{whose} is not valid before {Time(element.Certificate.NotBefore)}; look at both clocks";
        }
        return null;
    }

    /// <summary>Chains end at these authorities, whatever the time; nothing is looked up elsewhere, not even where a certificate says.</summary>
    internal static X509ChainPolicy Policy(X509Certificate2Collection authorities)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            VerificationFlags = X509VerificationFlags.IgnoreNotTimeValid,
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(authorities);
        return policy;
    }

    private static string Time(DateTime time) => time.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture);
}
