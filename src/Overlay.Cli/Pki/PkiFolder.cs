using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Overlay.Rpc.Security;

namespace Overlay.Cli.Pki;

/// <summary>It cannot be done with this folder; the message says why and what to do.</summary>
internal sealed class PkiException(string message) : Exception(message);

/// <summary>The folder of an authority: ca.pem with every authority that is trusted, the last made first, and ca.key of that one.</summary>
internal sealed class PkiFolder(string folder, TextWriter output)
{
    private string Authority => Path.Combine(folder, "ca.pem");

    private string Key => Path.Combine(folder, "ca.key");

    public void Init(int days)
    {
        if (File.Exists(Authority) || File.Exists(Key)) throw new PkiException($"{folder} holds an authority already; 'overlay pki rotate' makes another, or name another folder with --dir");
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        IssuedCertificate made = Make(days);
        Write(Key, made.KeyPem, secret: true);
        Write(Authority, made.CertificatePem, secret: false);
        output.WriteLine("Copy ca.pem to every node and controller; keep ca.key here.");
    }

    public void Issue(string verb, CertificateIdentity identity, string[] hosts, int days)
    {
        string name = identity.Name;
        if (name.Length is 0 or > 64 || !char.IsAsciiLetterOrDigit(name[0]) || name.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter is not ('.' or '-' or '_')))
            throw new PkiException($"'{name}' is no name; use 1 to 64 letters, digits, '.', '-' and '_', a letter or digit first");
        using CertificateAuthority authority = Open();
        if (authority.NotAfter < DateTime.UtcNow) throw new PkiException($"the authority of {folder} expired on {authority.NotAfter:u}; make another with 'overlay pki rotate'");
        IssuedCertificate made = authority.Issue(identity, hosts, DateTimeOffset.UtcNow, TimeSpan.FromDays(days));
        string path = Path.Combine(folder, $"{verb}-{name}");
        // The key first: a process that finds the new certificate finds its key too.
        Write($"{path}.key", made.KeyPem, secret: true);
        Write($"{path}.pem", made.CertificatePem, secret: false);
    }

    public void Rotate(int days)
    {
        X509Certificate2Collection old = Read();
        bool isCutShort = IsCutShort(old);
        if (old.Count > 1 && !isCutShort) throw new PkiException($"{Authority} holds {old.Count} authorities: a rotation is under way; end it with 'overlay pki rotate --finish'");
        string before = string.Concat(old.Skip(isCutShort ? 1 : 0).Select(each => each.ExportCertificatePem() + "\n"));
        IssuedCertificate made = Make(days);
        Write(Authority, made.CertificatePem + before, secret: false);
        Write(Key, made.KeyPem, secret: true);
        output.WriteLine("Now copy ca.pem to every node and controller, then issue every certificate anew, then 'overlay pki rotate --finish'.");
    }

    public void FinishRotation()
    {
        X509Certificate2Collection all = Read();
        if (all.Count < 2) throw new PkiException($"{Authority} holds one authority: no rotation is under way; begin one with 'overlay pki rotate'");
        if (IsCutShort(all)) throw new PkiException($"{Key} is not the key of the first certificate in {Authority}: the rotation was cut short, and nothing is signed by that one; begin it again with 'overlay pki rotate'");
        Write(Authority, all[0].ExportCertificatePem() + "\n", secret: false);
        output.WriteLine("Copy ca.pem to every node and controller once more: what the old authority signed is then refused.");
    }

    private static IssuedCertificate Make(int days) =>
        CertificateAuthority.Create($"overlay {DateTime.UtcNow:yyyy-MM-dd HH:mm:ss.fff}Z", DateTimeOffset.UtcNow, TimeSpan.FromDays(days));

    private X509Certificate2Collection Read()
    {
        if (!File.Exists(Authority)) throw new PkiException($"{Authority} does not exist; make an authority with 'overlay pki init --dir {folder}'");
        X509Certificate2Collection all = [];
        all.ImportFromPem(File.ReadAllText(Authority));
        return all.Count > 0 ? all : throw new PkiException($"{Authority} holds no certificate; restore it from a backup");
    }

    /// <summary>Whether a rotation was cut short before the first authority got its key, so that it signed nothing: the key is that of the second.</summary>
    private bool IsCutShort(X509Certificate2Collection all)
    {
        if (all.Count < 2 || !File.Exists(Key)) return false;
        try
        {
            using var before = CertificateAuthority.Open(all[1].ExportCertificatePem(), File.ReadAllText(Key));
            return true;
        }
        catch (Exception exception) when (exception is CryptographicException or ArgumentException)
        {
            return false;
        }
    }

    private CertificateAuthority Open()
    {
        Read();
        if (!File.Exists(Key)) throw new PkiException($"{Key} does not exist; certificates are made where the authority's key is");
        try
        {
            return CertificateAuthority.Open(File.ReadAllText(Authority), File.ReadAllText(Key));
        }
        catch (Exception exception) when (exception is CryptographicException or ArgumentException)
        {
            throw new PkiException($"{Key} is not the key of the first certificate in {Authority} ({exception.Message}); where 'overlay pki rotate' was cut short, repeat it, else restore both from one backup");
        }
    }

    /// <summary>Replaces a file as a whole; a secret one is never readable to others, not for a moment.</summary>
    private void Write(string path, string text, bool secret)
    {
        string next = path + ".next";
        File.Delete(next);
        UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        if (!secret) mode |= UnixFileMode.GroupRead | UnixFileMode.OtherRead;
        using (var file = new FileStream(next, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = mode }))
        {
            file.Write(System.Text.Encoding.ASCII.GetBytes(text));
            file.Flush(flushToDisk: true);
        }
        File.Move(next, path, overwrite: true);
        output.WriteLine(path);
    }
}
