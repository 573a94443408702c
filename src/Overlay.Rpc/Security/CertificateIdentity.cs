using System.Security.Cryptography.X509Certificates;

namespace Overlay.Rpc.Security;

/// <summary>What a certificate lets its holder do.</summary>
public enum CertificateRole
{
    /// <summary>Write as one node.</summary>
    Node,

    /// <summary>Serve nodes and administrators.</summary>
    Controller,

    Administrator,
}

/// <summary>Who a certificate is for: its role is the subject's organization, its name the common name.</summary>
public sealed record CertificateIdentity(CertificateRole Role, string Name)
{
    private const string OrganizationOid = "2.5.4.10";
    private const string CommonNameOid = "2.5.4.3";

    /// <summary>How the role is written in the subject.</summary>
    public static string OrganizationOf(CertificateRole role) => role switch
    {
        CertificateRole.Node => "overlay-node",
        CertificateRole.Controller => "overlay-controller",
        _ => "overlay-administrator",
    };

    /// <returns>Null: the certificate is of no role.</returns>
    public static CertificateIdentity? Read(X509Certificate2 certificate)
    {
        string? organization = null;
        string? name = null;
        foreach (X500RelativeDistinguishedName part in certificate.SubjectName.EnumerateRelativeDistinguishedNames())
        {
            if (part.HasMultipleElements) continue;
            string? value = part.GetSingleElementValue();
            if (part.GetSingleElementType().Value == OrganizationOid) organization ??= value;
            else if (part.GetSingleElementType().Value == CommonNameOid) name ??= value;
        }
        foreach (CertificateRole role in Enum.GetValues<CertificateRole>())
        {
            if (organization == OrganizationOf(role) && !string.IsNullOrEmpty(name)) return new CertificateIdentity(role, name);
        }
        return null;
    }

    public X500DistinguishedName ToSubject()
    {
        var subject = new X500DistinguishedNameBuilder();
        subject.AddOrganizationName(OrganizationOf(Role));
        subject.AddCommonName(Name);
        return subject.Build();
    }

    public override string ToString() => $"{Role.ToString().ToLowerInvariant()} '{Name}'";
}
