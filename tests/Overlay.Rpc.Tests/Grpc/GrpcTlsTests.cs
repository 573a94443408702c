using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Overlay.Rpc.Grpc;
using Overlay.Testing;

namespace Overlay.Rpc.Tests.Grpc;

/// <summary>Mutual TLS over TCP.</summary>
public sealed class GrpcTlsTests : IAsyncLifetime, IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-grpc-").FullName;
    private readonly X509Certificate2 _authority = Authority();
    private X509Certificate2 _serverCertificate = null!;
    private X509Certificate2 _clientCertificate = null!;
    private GrpcServer _server = null!;

    public async Task InitializeAsync()
    {
        _serverCertificate = Issue("localhost");
        _clientCertificate = Issue("node-a");
        _server = await GrpcServer.ListenAsync(
            new IPEndPoint(IPAddress.Loopback, 0),
            () => new SslServerAuthenticationOptions
            {
                ServerCertificate = _serverCertificate,
                ClientCertificateRequired = true,
                CertificateChainPolicy = Trust(),
            },
            new EchoService().Routes(),
            NullLoggerFactory.Instance);
    }

    [Fact]
    public async Task Call_ByOurClientWithACertificate_ShowsItToTheHandler()
    {
        using GrpcChannel channel = Channel(_clientCertificate);

        Line response = await channel.CallAsync(EchoService.Say, new Line { Text = "certificate" }, TimeSpan.FromSeconds(30));

        Assert.Equal("CN=node-a", response.Text);
    }

    [Fact]
    public async Task Call_ByOurClientWithoutACertificate_IsRefused()
    {
        using GrpcChannel channel = Channel(null);

        GrpcException refused = await Assert.ThrowsAsync<GrpcException>(
            () => channel.CallAsync(EchoService.Say, new Line { Text = "certificate" }, TimeSpan.FromSeconds(30)));

        Assert.Equal(GrpcStatusCode.Unavailable, refused.Status);
    }

    [Fact]
    public async Task Call_ByGrpcJsWithACertificate_ShowsItToTheHandler()
    {
        File.WriteAllText($"{_folder}/ca.pem", _authority.ExportCertificatePem());
        File.WriteAllText($"{_folder}/cert.pem", _clientCertificate.ExportCertificatePem());
        File.WriteAllText($"{_folder}/key.pem", _clientCertificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        string scripts = Path.Combine(AppContext.BaseDirectory, "Grpc");
        ProgramRun node = await Task.Run(() => ProgramRun.Check(
            "node", $"{scripts}/client.js", $"localhost:{_server.EndPoint!.Port}", $"{scripts}/echo.proto", GrpcJs.Modules,
            $"{_folder}/ca.pem", $"{_folder}/cert.pem", $"{_folder}/key.pem"));

        Assert.Equal("CN=node-a", JsonDocument.Parse(node.Lines.Single()).RootElement.GetProperty("message").GetString());
    }

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    public void Dispose()
    {
        _authority.Dispose();
        _serverCertificate?.Dispose();
        _clientCertificate?.Dispose();
    }

    private static X509Certificate2 Authority()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=authority", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }

    private X509Certificate2 Issue(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 issued = request.Create(
            _authority, DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddHours(1), RandomNumberGenerator.GetBytes(8));
        using X509Certificate2 withKey = issued.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pkcs12), null, X509KeyStorageFlags.Exportable);
    }

    private X509ChainPolicy Trust() => new()
    {
        TrustMode = X509ChainTrustMode.CustomRootTrust,
        CustomTrustStore = { _authority },
        RevocationMode = X509RevocationMode.NoCheck,
    };

    private GrpcChannel Channel(X509Certificate2? certificate) => GrpcChannel.ToHost("localhost", _server.EndPoint!.Port, new SslClientAuthenticationOptions
    {
        ClientCertificates = certificate is null ? null : [certificate],
        CertificateChainPolicy = Trust(),
    });
}
