using System.Security.Cryptography.X509Certificates;
using Overlay.Rpc.Security;
using Overlay.Testing;

namespace Overlay.Cli.Tests;

/// <summary>Authorities and certificates in a folder, held against openssl.</summary>
public sealed class PkiCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-pki-").FullName;

    private string Pki => $"{_folder}/pki";

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Node_OfAnAuthority_IsVerifiedByOpensslAndNamesTheNode()
    {
        Run("init");
        Run("node", "node-a");
        Run("controller", "ctl", "--host", "192.0.2.1", "--host", "ctl.example");

        ProgramRun verified = ProgramRun.Check("openssl", "verify", "-x509_strict", "-CAfile", $"{Pki}/ca.pem", $"{Pki}/node-node-a.pem", $"{Pki}/controller-ctl.pem");
        ProgramRun shown = ProgramRun.Check("openssl", "x509", "-in", $"{Pki}/controller-ctl.pem", "-noout", "-text");

        Assert.Equal(2, verified.Lines.Length);
        Assert.Contains("IP Address:192.0.2.1, DNS:ctl.example", shown.Output, StringComparison.Ordinal);
        using X509Certificate2 node = X509CertificateLoader.LoadCertificateFromFile($"{Pki}/node-node-a.pem");
        Assert.Equal(new CertificateIdentity(CertificateRole.Node, "node-a"), CertificateIdentity.Read(node));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode($"{Pki}/node-node-a.key"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode($"{Pki}/ca.key"));
    }

    [Fact]
    public void Rotate_UntilFinished_OldAndNewCertificatesAreTrusted()
    {
        Run("init");
        Run("node", "old");
        Run("rotate");
        Run("node", "new");

        Assert.Null(Refusal("old"));
        Assert.Null(Refusal("new"));
        Run("rotate", "--finish");
        Assert.Contains("not among the trusted authorities", Refusal("old"), StringComparison.Ordinal);
        Assert.Null(Refusal("new"));
    }

    /// <summary>Between its two files: the new authority is there, and the key is still that of the old one.</summary>
    [Fact]
    public void Rotate_CutShort_IsBegunAgainAndNeverFinishedWithAnAuthorityThatHasNoKey()
    {
        Run("init");
        Run("node", "old");
        string key = File.ReadAllText($"{Pki}/ca.key");
        Run("rotate");
        File.WriteAllText($"{Pki}/ca.key", key);

        ProgramRun refused = OverlayProgram.Run(["pki", "rotate", "--finish", "--dir", Pki]);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("the rotation was cut short, and nothing is signed by that one; begin it again with 'overlay pki rotate'", refused.Errors, StringComparison.Ordinal);
        Run("rotate");
        Run("node", "new");

        Assert.Null(Refusal("old"));
        Assert.Null(Refusal("new"));
        Assert.Equal(2, File.ReadAllText($"{Pki}/ca.pem").Split("BEGIN CERTIFICATE").Length - 1);
        Run("rotate", "--finish");
        Assert.Null(Refusal("new"));
        Assert.NotNull(Refusal("old"));
    }

    [Theory]
    [InlineData("node node-a", "make an authority with 'overlay pki init")]
    [InlineData("rotate --finish", "make an authority with 'overlay pki init")]
    [InlineData("node ../x", "'../x' is no name")]
    public void Pki_WhatCannotBeDone_SaysWhatToDo(string command, string expected)
    {
        ProgramRun run = OverlayProgram.Run(["pki", .. command.Split(' '), "--dir", Pki]);

        Assert.Equal(1, run.ExitCode);
        Assert.Contains(expected, run.Errors, StringComparison.Ordinal);
    }

    private string? Refusal(string node)
    {
        X509Certificate2Collection authorities = [];
        authorities.ImportFromPemFile($"{Pki}/ca.pem");
        using X509Certificate2 certificate = X509CertificateLoader.LoadCertificateFromFile($"{Pki}/node-{node}.pem");
        return CertificateCheck.Refusal(certificate, authorities, DateTimeOffset.UtcNow);
    }

    private void Run(params string[] arguments)
    {
        ProgramRun run = OverlayProgram.Run(["pki", .. arguments, "--dir", Pki]);
        Assert.True(run.ExitCode == 0, run.Errors);
    }
}
